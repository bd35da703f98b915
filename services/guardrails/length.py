"""A text that is longer than anybody needs is refused before it costs anything."""

from collections.abc import Mapping
from typing import Any

from services.errors import ConfigurationError
from services.guardrails.types import ScreenedText
from services.types import ALLOWED, Action, Stage, Verdict

DEFAULT_MAX_CHARS = 32_768


class LengthRule:
    """Blocks a text of more than `max_chars` characters, at every stage."""

    name = "length"

    def __init__(self, knobs: Mapping[str, Any]) -> None:
        max_chars = knobs.get("max_chars", DEFAULT_MAX_CHARS)
        if not isinstance(max_chars, int) or max_chars < 1:
            raise ConfigurationError("length.max_chars must be a whole number above 0.")
        self._max_chars = max_chars

    def check(self, text: ScreenedText, stage: Stage) -> Verdict:
        if len(text.raw) <= self._max_chars:
            return ALLOWED
        message = f"The text has {len(text.raw)} characters; at most {self._max_chars} are accepted. Shorten it."
        return Verdict(action=Action.BLOCK, rule=self.name, message=message)
