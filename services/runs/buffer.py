"""The bounded buffer between a running graph and whoever reads its events.

The graph appends; a reader takes batches. Text that arrives between two batches is merged into one delta, so what a token
costs here is one list append. A batch leaves at once when the replica is quiet; when it is busy the window between two
batches of one stream widens, because a batch is what crossing the process boundary costs.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from services.types import EventBatch, ReasoningDelta, RunEvent, TextDelta, ToolFinished

Window = Callable[[], float]


class Timer(Protocol):
    def cancel(self) -> None: ...


def call_later(delay_s: float, callback: Callable[[], None]) -> Timer:
    """Call back on the running loop after `delay_s`, unless cancelled."""
    return asyncio.get_running_loop().call_later(delay_s, callback)


class EventBuffer:
    """Events of one run, one writer and at most one reader.

    `window_s` is asked before each batch for the least time between two batches; anything but text leaves at once. The first
    batch waits up to `first_batch_wait_s` for a second event, so that a run that fails at once is known to have failed
    before anything is shown of it; text and everything else that comes meanwhile takes it along at once.
    Over `max_chars` unread characters `drain` waits until the reader has caught up. After `detach` nobody reads any more:
    what is written is dropped and `drain` never waits.
    """

    def __init__(
        self,
        *,
        attempt: int,
        window_s: Window,
        max_chars: int,
        first_batch_wait_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], Timer] = call_later,
    ) -> None:
        self._attempt = attempt
        self._window_s = window_s
        self._max_chars = max_chars
        self._first_batch_wait_s = first_batch_wait_s
        self._clock = clock
        self._call_later = call_later
        self._events: list[RunEvent] = []
        self._parts: list[str] = []
        self._kind: type[TextDelta] | type[ReasoningDelta] = TextDelta
        self._source: str | None = None
        self._chars = 0
        self._urgent = False
        self._detached = False
        self._next_seq = 0
        self._last_batch_at = float("-inf")
        self.first_text_at: float | None = None
        """When the first piece of the answer itself was written, on the buffer's clock."""
        self._written = asyncio.Event()
        self._window_over = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def text(self, delta: str, source: str | None = None) -> None:
        """Append a piece of the answer."""
        if self.first_text_at is None and source is None:
            self.first_text_at = self._clock()
        self._append(TextDelta, delta, source)

    def reasoning(self, delta: str, source: str | None = None) -> None:
        """Append a piece of a model's visible reasoning."""
        self._append(ReasoningDelta, delta, source)

    def emit(self, event: RunEvent) -> None:
        """Append an event that is not text; it takes the text before it along and leaves at once."""
        if self._detached:
            return
        self._close_delta()
        self._events.append(event)
        if isinstance(event, ToolFinished):
            self._count(event.result)
        self._urgent = True
        self._written.set()
        self._window_over.set()

    async def drain(self) -> None:
        """Return at once, or when the reader has made room."""
        if self._chars > self._max_chars:
            await self._room.wait()

    def detach(self) -> None:
        """The reader is gone for good."""
        self._detached = True
        self._events.clear()
        self._parts.clear()
        self._chars = 0
        self._room.set()

    async def batches(self) -> AsyncIterator[EventBatch]:
        """Yield batches until the one that holds the terminal event."""
        await self._written.wait()
        if len(self._events) == 1 and not self._parts:
            self._written.clear()
            await self._pass(self._written, self._first_batch_wait_s)
        while True:
            await self._written.wait()
            wait_s = self._last_batch_at + self._window_s() - self._clock()
            if wait_s > 0 and not self._urgent:
                self._window_over.clear()
                await self._pass(self._window_over, wait_s)
            batch = self._take()
            yield batch
            if batch.terminal:
                return

    async def _pass(self, event: asyncio.Event, wait_s: float) -> None:
        """Wait until `wait_s` have passed, which sets the event, or until it is set before."""
        timer = self._call_later(wait_s, event.set)
        try:
            await event.wait()
        finally:
            timer.cancel()

    def _append(self, kind: type[TextDelta] | type[ReasoningDelta], delta: str, source: str | None) -> None:
        if self._detached or not delta:
            return
        if kind is not self._kind or source != self._source:
            self._close_delta()
            self._kind, self._source = kind, source
        self._parts.append(delta)
        self._count(delta)
        self._written.set()

    def _count(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > self._max_chars:
            self._room.clear()

    def _close_delta(self) -> None:
        if self._parts:
            self._events.append(self._kind(text="".join(self._parts), source=self._source))
            self._parts.clear()

    def _take(self) -> EventBatch:
        self._close_delta()
        batch = EventBatch(attempt=self._attempt, first_seq=self._next_seq, events=tuple(self._events))
        self._next_seq += len(self._events)
        self._events.clear()
        self._chars = 0
        self._urgent = False
        self._last_batch_at = self._clock()
        self._written.clear()
        self._room.set()
        return batch
