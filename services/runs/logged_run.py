"""What an attempt at a run has said, on its way into the event log: in its buffer, cut into rows, stored."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.errors import MainstayError
from services.events import RunEvent, TerminalEvent
from services.runs.buffer import EventBuffer
from services.runs.event_codec import encode
from services.types import Fence


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """Consecutive events of one attempt, `first_seq` to `seq`, encoded."""

    fence: Fence
    first_seq: int
    seq: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What is not stored of a run that ends: rows as they were cut, and the events after them.

    One that is `lost` has a gap, for the store has refused some of it, and so nothing more of it is to be stored.
    """

    fence: Fence
    rows: tuple[LogRow, ...]
    first_seq: int
    events: tuple[RunEvent, ...]
    lost: bool = False

    def ending_with(self, event: TerminalEvent) -> tuple[LogRow, ...]:
        """Return all of it with its terminal event."""
        return () if self.lost else (*self.rows, row_of(self.fence, self.first_seq, (*self.events, event)))


class LoggedRun:
    """One attempt's log. A row is cut once, and sent as it is until it is known to be stored, so no event is stored twice.

    Whatever statement stores something of it sends all its `rows`, so the log has no gaps.
    """

    def __init__(self, fence: Fence, buffer: EventBuffer, clock: Callable[[], float]) -> None:
        self.fence = fence
        self.buffer = buffer
        self.rows: list[LogRow] = []
        """Cut, and not known to be stored."""
        self.stored = -1
        """The number of the last event that is known to be stored."""
        self.refusal: MainstayError | None = None
        """Why the log does not take anything of it any more."""
        self.ending = False
        """Whether its end is being recorded, together with its rows: they are no longer the writer's to store."""
        self._clock = clock
        self._news_at: float | None = None
        self._cut_from: float | None = None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def since(self) -> float | None:
        """When the oldest event that is not known to be stored was written."""
        return self._news_at if self._cut_from is None else self._cut_from

    @property
    def awaited(self) -> bool:
        """Whether something of it may not be shown before it is stored, and is waited for."""
        return bool(self._waiting)

    def has_news(self) -> None:
        if self._news_at is None:
            self._news_at = self._clock()

    def cut(self) -> None:
        """Make a row of what has been said since the last one."""
        first_seq, events = self.buffer.cut()
        if events:
            self.rows.append(row_of(self.fence, first_seq, events))
            if self._cut_from is None:
                self._cut_from = self._news_at
        self._news_at = None

    def unstored(self) -> tuple[LogRow, ...]:
        """Return all that is not known to be stored, for a statement of somebody else's. Raises RunSuperseded."""
        if self.refusal is not None:
            raise self.refusal
        self.cut()
        return tuple(self.rows)

    def confirm(self, rows: Sequence[LogRow]) -> None:
        """Take note that these rows, which are all there were, are stored."""
        if not rows:
            return
        self.stored = max(self.stored, rows[-1].seq)
        self.rows = [row for row in self.rows if row.seq > self.stored]
        if not self.rows:
            self._cut_from = None
        self._wake(self.stored)

    def tail(self) -> Tail:
        """Take the rows away, for whoever records how the run ended."""
        self.ending = True
        first_seq, events = self.buffer.cut()
        return Tail(
            fence=self.fence,
            rows=tuple(self.rows),
            first_seq=first_seq,
            events=tuple(events),
            lost=self.refusal is not None,
        )

    def settle(self, refusal: MainstayError | None = None) -> None:
        """Take note that the end is recorded, or that nothing of this attempt is to be stored any more."""
        self.refusal = self.refusal or refusal
        if self.refusal is None:
            self.stored = self.buffer.last.seq
        self.rows = []
        self._cut_from = self._news_at = None
        self.let_go()

    async def wait(self, seq: int) -> None:
        """Return once the event is stored, or whoever stores it has let go or refused it."""
        waiting = (seq, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await waiting[1]
        finally:
            self._waiting.remove(waiting)

    def let_go(self) -> None:
        """Have nobody wait any longer."""
        for _, future in self._waiting:
            if not future.done():
                future.set_result(None)

    def _wake(self, stored: int) -> None:
        for seq, future in self._waiting:
            if seq <= stored and not future.done():
                future.set_result(None)


def row_of(fence: Fence, first_seq: int, events: Sequence[RunEvent]) -> LogRow:
    """Return consecutive events as a row of the log: what was said in several batches is still the same events."""
    return LogRow(fence=fence, first_seq=first_seq, seq=first_seq + len(events) - 1, body=encode(events))
