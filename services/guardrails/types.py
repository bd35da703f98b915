"""What a guardrail is: a named rule that looks at one text and gives a verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.guard import Stage, Verdict
from services.guardrails.normalise import normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedText:
    """A text as it came (`raw`)."""

    raw: str

    @property
    def normal(self) -> str:
        """The text as a reader would see it, see `normalise`: made when it is asked for, since few rules do."""
        return normalise(self.raw)


class Guardrail(Protocol):
    """One rule. `check` is pure and bounded: its time grows at most linearly with the text."""

    @property
    def name(self) -> str: ...

    def check(self, text: ScreenedText, stage: Stage) -> Verdict: ...


GuardrailFactory = Callable[[Mapping[str, Any]], Guardrail]
"""Makes a rule from its live knobs, a mapping that `user_config` may change. Raises ConfigurationError on a wrong one."""
