"""A text that is longer than anybody needs is refused before it costs anything."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from services.guard import ALLOWED, Action, Stage, Verdict
from services.guardrails.knobs import RuleKnobs
from services.guardrails.types import ScreenedText


class LengthKnobs(RuleKnobs):
    max_chars: int = Field(default=32_768, ge=1, strict=True)


class LengthRule:
    """Blocks a text of more than `max_chars` characters, at every stage."""

    name = "length"

    def __init__(self, knobs: Mapping[str, Any]) -> None:
        self._max_chars = LengthKnobs.read(self.name, knobs).max_chars

    def check(self, text: ScreenedText, stage: Stage) -> Verdict:
        if len(text.raw) <= self._max_chars:
            return ALLOWED
        message = f"The text has {len(text.raw)} characters; at most {self._max_chars} are accepted. Shorten it."
        return Verdict(action=Action.BLOCK, rule=self.name, message=message)
