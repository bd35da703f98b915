"""A text that comes in pieces of any size, cut into sentences: the same ones however it came.

A sentence ends at a full stop and what closes it, with a space behind; at a full stop of Chinese or Japanese; or with its line.
Short ones go with the next. Where none ends for 200 tokens the text is cut, and what is judged next begins 50 tokens before.
"""

import re
from dataclasses import dataclass

CHARS_PER_TOKEN = 4
LEAST_CHARS = 32
MOST_CHARS = 200 * CHARS_PER_TOKEN
OVERLAP_CHARS = 50 * CHARS_PER_TOKEN
BEFORE_CHARS = 200 * CHARS_PER_TOKEN

_CLOSERS = r"\"'”’»)\]*_`"
_CLOSERS_CJK = "」』”’）"
_END = re.compile(rf"[.!?…][{_CLOSERS}]{{0,4}}+(?=\s)|[。！？][{_CLOSERS_CJK}]{{0,4}}+(?=[^{_CLOSERS_CJK}])|\n")
_WIDEST = 6
"""Characters of the longest end, and the one behind it that shows it to be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """`text` is what is judged: `chars` of news at its end, and before them the overlap with the piece before, if any."""

    text: str
    chars: int
    before: str


class Cutter:
    """Cuts one text. Holds at most MOST_CHARS of it, and BEFORE_CHARS of what has been cut already."""

    __slots__ = ("_before", "_lead", "_looked", "_pending")

    def __init__(self) -> None:
        self._pending = ""
        self._looked = 0
        self._before = ""
        self._lead = ""

    def feed(self, text: str) -> list[Piece]:
        """Take some text, and return the pieces that it has completed."""
        self._pending += text
        pieces: list[Piece] = []
        while size := self._ended():
            pieces.append(self._cut(size))
        return pieces

    def finish(self) -> list[Piece]:
        """Nothing follows: return what is left."""
        return [self._cut(len(self._pending))] if self._pending else []

    def _ended(self) -> int:
        """Return how much of what is pending is a piece, 0 while that is not known."""
        end = _END.search(self._pending, max(LEAST_CHARS - 1, self._looked))
        if end is not None and end.end() <= MOST_CHARS:
            return end.end()
        if len(self._pending) <= MOST_CHARS:  # an end just there is known by what is behind it
            self._looked = max(0, len(self._pending) - _WIDEST)
            return 0
        space = max(
            self._pending.rfind(" ", OVERLAP_CHARS, MOST_CHARS), self._pending.rfind("\t", OVERLAP_CHARS, MOST_CHARS)
        )
        return space + 1 or MOST_CHARS

    def _cut(self, size: int) -> Piece:
        news, self._pending = self._pending[:size], self._pending[size:]
        piece = Piece(text=self._lead + news, chars=size, before=self._before[: len(self._before) - len(self._lead)])
        whole = _END.search(f"{news} ", max(0, size - _WIDEST)) is not None
        self._lead = "" if whole else news[-OVERLAP_CHARS:]
        self._before = (self._before + news)[-BEFORE_CHARS:]
        self._looked = 0
        return piece
