"""What pays for a model call, as whoever makes the call sees it: reserve before it, settle after it."""

from collections.abc import Awaitable, Generator
from dataclasses import dataclass
from typing import Protocol

from services.limits.prices import FREE, Price
from services.types import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Of one model call, input and output: a bound, or a guess."""

    input: int
    output: int


class Held(Protocol):
    """What is reserved for one model call, at the price of its model."""

    @property
    def price(self) -> Price: ...

    def settle(self, usage: Usage) -> Awaitable[None]:
        """Have it replaced by what the call did cost. What is returned need not be awaited: it is done when that is stored, or
        the store is away.
        """
        ...


class Purse(Protocol):
    async def reserve(self, model: str, most: Tokens, expected: Tokens) -> Held:
        """Reserve what a call of the model can cost at most. Raises BudgetExceeded, UnpricedModel and StoreUnavailable."""
        ...


class _Bottomless:
    """Implements `Purse` and `Held` where nobody counts."""

    price = FREE

    async def reserve(self, model: str, most: Tokens, expected: Tokens) -> "_Bottomless":
        return self

    def settle(self, usage: Usage) -> Awaitable[None]:
        return self

    def __await__(self) -> Generator[None, None, None]:
        """Nothing is owed, so it is settled."""
        yield from ()


BOTTOMLESS: Purse = _Bottomless()
