"""What models cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.errors import UnpricedModel
from services.types import Usage

MICROS = 1_000_000
"""Money is counted in millionths, as whole numbers: sums of many small bills are exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of one model, in currency units per million tokens, which is millionths of a unit per token.

    `cached_input` None is as any other input.
    """

    input: float
    output: float
    cached_input: float | None = None

    def cost_micros(self, usage: Usage) -> int:
        """Return what the tokens cost, rounded up to a millionth."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh_tokens = usage.input_tokens - usage.cached_tokens
        return math.ceil(
            fresh_tokens * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output - _SLACK
        )

    def at_most_micros(self, input_tokens: int, output_tokens: int) -> int:
        """Return what so many tokens can cost at most."""
        dearest = max(self.input, self.cached_input or 0.0)
        return math.ceil(input_tokens * dearest + output_tokens * self.output)


_SLACK = 1e-6
"""Of a millionth: what floating point may add to a whole number of them."""

FREE = Price(input=0.0, output=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Prices by model, as its provider calls it. `other` is that of a model that is not named; without it, such are refused."""

    models: Mapping[str, Price] = field(default_factory=dict)
    other: Price | None = None

    def of(self, model: str) -> Price:
        """Raises UnpricedModel."""
        price = self.models.get(model, self.other)
        if price is None:
            raise UnpricedModel(f"The model {model!r} has no price, so nothing may be spent on it.")
        return price
