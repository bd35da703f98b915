"""What an operator does not want talked about: words that may not stand in an answer. It needs no model."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from services.errors import ConfigurationError
from services.guard import ALLOWED, Action, Verdict
from services.guardrails.knobs import RuleKnobs
from services.guardrails.normalise import normalise
from services.guardrails.semantic.types import Ask, Context

MAX_PATTERN_CHARS = 200

_UNBOUNDED = re.compile(r"[*+]|\{\d*,\}|\)\{|\\[1-9]|\(\?[^:]")
"""In a pattern: repetition without an end or of a group, references, and looking around."""

_CHOICES = re.compile(r"\{(?:\d+,)?(\d+)\}|\?(?!:)|\|")
MAX_CHOICES = 1_000
"""So many ways there may be to match a pattern in one place: the product of its upper bounds, 2 for each `?` and `|`."""

Phrase = Annotated[str, Field(min_length=2, max_length=MAX_PATTERN_CHARS)]


class PhrasesKnobs(RuleKnobs):
    phrases: list[Phrase] = Field(default_factory=list, max_length=1_000)
    patterns: list[Phrase] = Field(default_factory=list, max_length=100)


class PhrasesCheck:
    """`phrases` are found as whole words, however they are spaced and whatever invisible or look-alike letters are in them.

    `patterns` are regular expressions over the normal form of the text, in which case and compatibility forms make no
    difference. They have bounds, such as `{0,20}` or `?`: see MAX_CHOICES. What spans two sentences is found in the second.
    """

    name = "phrases"

    def __init__(self, knobs: Mapping[str, Any], ask: Ask | None = None) -> None:
        read = PhrasesKnobs.read(self.name, knobs)
        sources = [_literal(phrase) for phrase in read.phrases] + [_bounded(pattern) for pattern in read.patterns]
        self._found = re.compile("|".join(sources) or r"(?!)", re.IGNORECASE)

    async def judge(self, piece: str, context: Context) -> Verdict:
        before = normalise(context.before[-MAX_PATTERN_CHARS:]) if context.before else ""
        text = f"{before} {normalise(piece)}" if before else normalise(piece)
        # What ends before the piece has been looked at with an earlier one.
        found = any(match.end() > len(before) for match in self._found.finditer(text))
        return _FORBIDDEN if found else ALLOWED


_FORBIDDEN = Verdict(action=Action.BLOCK, rule="semantic.phrases", message="The answer was stopped: a forbidden topic.")


def _literal(phrase: str) -> str:
    words = [re.escape(word) for word in normalise(phrase).split()]
    return r"(?<!\w)" + r"\W{1,3}".join(words) + r"(?!\w)"


def _bounded(pattern: str) -> str:
    """Return the pattern if its time has a bound. Raises ConfigurationError."""
    ways = math.prod(max(1, int(match[1])) if match[1] else 2 for match in _CHOICES.finditer(pattern))
    if _UNBOUNDED.search(pattern) or ways > MAX_CHOICES:
        raise ConfigurationError(
            f"phrases.patterns: {pattern!r} may take too long: no *, +, repeated groups or look-around, and few bounds."
        )
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(f"phrases.patterns: {pattern!r} is no regular expression: {error}.") from None
    return f"(?:{pattern})"
