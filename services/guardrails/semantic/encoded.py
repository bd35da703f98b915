"""Instructions and canaries in a spelling that the screen of the stream does not read: encoded, backwards, letters apart."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from services.guard import ALLOWED, Action, Verdict
from services.guardrails.encodings import rot13
from services.guardrails.knobs import RuleKnobs
from services.guardrails.normalise import fold
from services.guardrails.semantic.hidden import ENCODED_WINDOWS, PLAIN_WINDOWS, letters, letters_of
from services.guardrails.semantic.types import Ask, Context
from services.guardrails.views import views

DECODERS = ("tags", "bidi", "base64", "base32", "hex", "numbers", "percent", "escapes", "morse", "entities")

BEFORE_CHARS = 400
"""How much of what stands before a piece is read with it."""

_SPACE = re.compile(r"\s")


class EncodedKnobs(RuleKnobs):
    """This check has no knobs."""


class EncodedCheck:
    """Ends an answer that gives away, in whatever spelling, what `prompt` and `canary` of the output policy keep.

    A code may be broken over several lines, so what stands before the piece is read with it.
    """

    name = "encoded"

    def __init__(self, knobs: Mapping[str, Any], ask: Ask | None = None) -> None:
        EncodedKnobs.read(self.name, knobs)

    async def judge(self, piece: str, context: Context) -> Verdict:
        hidden = context.hidden
        if hidden is None:
            return ALLOWED
        asked = letters(context.asked)
        for said, encoded in _readings(_end_of(context.before) + piece):
            if hidden.names_canary(said):
                return _CANARY
            if hidden.leaks(said, ENCODED_WINDOWS if encoded else PLAIN_WINDOWS, asked):
                return _PROMPT
        return ALLOWED


_PROMPT = Verdict(action=Action.BLOCK, rule="semantic.encoded", message="The answer was stopped: instructions.")
_CANARY = Verdict(action=Action.BLOCK, rule="semantic.encoded.canary", message="The answer was stopped: withheld.")


def _end_of(before: str) -> str:
    """Return the end of what stands before, from a word on: half a code says something else."""
    if len(before) <= BEFORE_CHARS:
        return before
    space = _SPACE.search(before, len(before) - BEFORE_CHARS)
    return "" if space is None else before[space.end() :]


def _readings(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the letters of all that a text may say, and whether that takes a code."""
    for view in views(text, DECODERS):
        folded = fold(view.text)
        plain = letters_of(folded)
        yield plain, bool(view.path)
        yield plain[::-1], True
        yield letters_of(rot13(folded)), True
        yield letters_of(" ".join(folded.split()[::-1]))[::-1], True
