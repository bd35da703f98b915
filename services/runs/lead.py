"""The text of an answer that is shown ahead of its verdict: which events have it, and how much of it has been judged."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from services.runs.event_codec import sound_text


@dataclass(frozen=True, slots=True)
class _Led:
    """An event of the answer, as it was written (`raw`), from a character of the answer on."""

    seq: int
    raw: str
    from_char: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken back: what its events have left, by their numbers, and the range of characters."""

    left: Sequence[tuple[int, str]]
    from_char: int
    to_char: int


class Lead:
    """Keeps an answer's deltas in mind until all of their text is judged. `answer_chars` is how long the answer is."""

    __slots__ = ("_events", "_judged", "answer_chars")

    def __init__(self, answer_chars: int) -> None:
        self.answer_chars = answer_chars
        self._events: deque[_Led] = deque()
        self._judged = 0  # characters, from the first event that is kept on

    @property
    def first(self) -> int | None:
        """The number of the first event with text that is not judged."""
        return self._events[0].seq if self._events else None

    @property
    def unjudged_from(self) -> int | None:
        """The character of the answer from which on it is not judged, of what is in events."""
        return self._events[0].from_char + len(self._left) if self._events else None

    @property
    def _left(self) -> str:
        """What is judged of the first event."""
        return sound_text(self._events[0].raw[: self._judged])

    def add(self, seq: int, raw: str, text: str, *, ahead: bool) -> None:
        """Take note of an event of the answer: written as `raw`, and told as `text`."""
        if ahead:
            self._events.append(_Led(seq, raw, self.answer_chars))
            self.judged(0)
        self.answer_chars += len(text)

    def judged(self, chars: int) -> None:
        """The next so many characters of what was written ahead are judged, some of which may be in no event yet."""
        self._judged += chars
        while self._events and len(self._events[0].raw) <= self._judged:
            self._judged -= len(self._events.popleft().raw)

    def retract(self) -> Taken | None:
        """Forget what is not judged, and return what becomes of its events. None where there are none."""
        if not self._events:
            self._judged = 0
            return None
        left = self._left
        texts = [(event.seq, "" if index else left) for index, event in enumerate(self._events)]
        taken = Taken(texts, self._events[0].from_char + len(left), self.answer_chars)
        self._events.clear()
        self._judged, self.answer_chars = 0, taken.from_char
        return taken
