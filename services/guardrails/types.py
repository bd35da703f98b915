"""What a guardrail is: a named rule that looks at one text and gives a verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.guard import Stage, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedText:
    """A text as it came (`raw`) and as a reader would see it (`normal`): see `normalise`."""

    raw: str
    normal: str


class Guardrail(Protocol):
    """One rule. `check` is pure and bounded: its time grows at most linearly with the text."""

    @property
    def name(self) -> str: ...

    def check(self, text: ScreenedText, stage: Stage) -> Verdict: ...


GuardrailFactory = Callable[[Mapping[str, Any]], Guardrail]
"""Makes a rule from its live knobs, a mapping that `user_config` may change. Raises ConfigurationError on a wrong one."""
