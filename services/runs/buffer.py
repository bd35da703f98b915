"""The bounded buffer between a running graph, the log of its run, and whoever reads its events.

The graph appends; the log and the reader take what is there, each at its own pace. Text that arrives between two of their
visits is one delta, so what a token costs here is one list append. A batch leaves at once when the replica is quiet; when
it is busy the window between two batches of one stream widens, because a batch is what crossing the process boundary costs.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from services.errors import MainstayError
from services.events import EventBatch, ReasoningDelta, Retracted, RunEvent, TerminalEvent, TextDelta, ToolFinished
from services.runs.event_codec import sound, sound_text
from services.runs.lead import Lead
from services.types import EventId

Window = Callable[[], float]

PACED_FROM_S = 0.02
"""With a narrower window a token leaves at once or nearly so, and is read at once."""

AHEAD_S = 0.002
"""How long before a batch may leave its last text is read."""

ALONG_FROM = 0.75
"""The share of the window after which a run's text may go along with another run's, and need not wait for its own batch."""


class Timer(Protocol):
    def cancel(self) -> None: ...


def call_later(delay_s: float, callback: Callable[[], None]) -> Timer:
    """Call back on the running loop after `delay_s`, unless cancelled."""
    return asyncio.get_running_loop().call_later(delay_s, callback)


def _nobody_told() -> None:
    """There is nobody to tell."""


def _as_it_is(event: RunEvent) -> RunEvent:
    return event


class EventBuffer:
    """Events of one attempt at a run: one writer, the log, which takes every event by `cut`, and at most one reader.

    An event has its number from the moment it is written, and is kept until both have taken it. `on_news` is called with the
    first event after a cut.

    `window_s` is asked before each batch for the least time between two batches; anything but text leaves at once. The first
    batch waits up to `first_batch_wait_s` for a second event, so that a run that fails at once is known to have failed
    before anything is shown of it; text and everything else that comes meanwhile takes it along at once.
    Over `max_chars` unread characters `drain` waits until the reader has caught up; without a reader it never waits. `pace`
    waits until what is written next can leave with the next batch.
    Text that is written `ahead` of its verdict is for the reader alone until it is `judged`: the log is given no event with
    such text, nor one behind it, and never has what is retracted. `answer_chars` is how much of the answer there was before.
    Every event that is not text passes `screen`, which may change it; text was screened by the model call that it comes from.
    The end is in two steps, so that it can be recorded before anybody sees it: after `close` nothing is written or handed
    out, `end` hands out the last batch.
    """

    def __init__(
        self,
        *,
        attempt: int,
        window_s: Window,
        max_chars: int,
        first_batch_wait_s: float = 0.0,
        answer_chars: int = 0,
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
        self._first = 0  # the number of the first event that is kept
        self._unread = 0  # the number of the reader's next event
        self._uncut = 0  # the number of the log's next event
        self._parts: list[str] = []
        self._kind: type[TextDelta] | type[ReasoningDelta] = TextDelta
        self._source: str | None = None
        self._ahead = False
        self._chars = 0
        self._urgent = False
        self._news = False
        self._read = True
        self._closed = False
        self._ending: TerminalEvent | MainstayError | None = None
        self._lead = Lead(answer_chars)
        self._last_batch_at = float("-inf")
        self._alone = False
        self.on_news: Callable[[], None] = _nobody_told
        self.screen: Callable[[RunEvent], RunEvent] = _as_it_is
        self.first_text_at: float | None = None
        """When the first piece of the answer itself was written, on the buffer's clock."""
        self._written = asyncio.Event()
        self._window_over = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def text(self, delta: str, source: str | None = None) -> None:
        """Append a piece of the answer."""
        self._append(TextDelta, delta, source)

    def ahead(self, delta: str) -> None:
        """Append a piece of the answer that has no verdict yet."""
        self._append(TextDelta, delta, None, ahead=True)

    def judged(self, chars: int) -> None:
        """The next so many characters that were written ahead may be logged."""
        self._lead.judged(chars)
        self._tell_news()

    def retract(self, rule: str) -> None:
        """Take back what was written ahead and has no verdict. If some of it may have been shown, an event says so."""
        self._close_delta()
        first, taken = self._lead.first, self._lead.retract()
        if first is None or taken is None:
            return
        for seq, text in taken.left:
            self._events[seq - self._first] = TextDelta(text=text)
        if first < self._unread:
            self.emit(Retracted(from_char=taken.from_char, to_char=taken.to_char, rule=rule))
        self._tell_news()

    @property
    def leads(self) -> bool:
        """Whether it has handed out, or could hand out, text that has no verdict yet."""
        return self._lead.first is not None or (self._ahead and bool(self._parts))

    def reasoning(self, delta: str, source: str | None = None) -> None:
        """Append a piece of a model's visible reasoning."""
        self._append(ReasoningDelta, delta, source)

    def emit(self, event: RunEvent) -> None:
        """Append an event that is not text; it takes the text before it along and leaves at once."""
        if self._closed:
            return
        event = sound(self.screen(event))
        self._close_delta()
        if isinstance(event, TextDelta) and event.source is None:
            self._lead.add(self._next, event.text, event.text, ahead=False)
        self._events.append(event)
        if isinstance(event, ToolFinished):
            self._count(event.result)
        self._urgent = True
        self._wake()
        self._window_over.set()

    async def drain(self) -> None:
        """Return at once, or when the reader has made room."""
        if self._chars > self._max_chars:
            await self._room.wait()

    @property
    def unread_chars(self) -> int:
        """How much text the reader has not taken."""
        return self._chars

    def take_early(self) -> EventBatch | None:
        """Take what there is of text from `batches`, None before ALONG_FROM of the window is over.

        The first batch, and whatever is not text, is left for it.
        """
        if self._unread == 0 or self._urgent or self._closed or not self._written.is_set():
            return None
        if self._clock() < self._last_batch_at + ALONG_FROM * self._window_s():
            return None
        batch = self._take()
        self._alone = False
        return batch

    async def pace(self) -> None:
        """Return when the next batch is about to leave: when text may go along, or at the window's end if it last left alone.

        A model's stream that is read then, and not as each token comes, costs one wake-up for a batch and not one for a
        token: nobody sees the tokens any later.
        """
        window_s = self._window_s()
        if not self._read or self._closed or self._unread == 0 or window_s < PACED_FROM_S:
            return
        between_s = window_s if self._alone else ALONG_FROM * window_s
        wait_s = self._last_batch_at + between_s - AHEAD_S - self._clock()
        if self._chars and wait_s < between_s / 2:
            # What has just been read leaves soon, and this is for the batch after that.
            wait_s = max(wait_s, -AHEAD_S) + between_s
        if wait_s > 0:
            await self._pass(asyncio.Event(), wait_s)

    @property
    def last(self) -> EventId:
        """The id of the newest event: text that follows will have another one."""
        self._close_delta()
        return EventId(attempt=self._attempt, seq=self._next - 1)

    def cut(self) -> tuple[int, list[RunEvent]]:
        """Return the events that the log has not been given, in their order, and the number of the first."""
        self._close_delta()
        unjudged = self._lead.first
        first, self._uncut = self._uncut, self._next if unjudged is None else unjudged
        events = self._events[first - self._first : self._uncut - self._first]
        self._news = False
        self._forget()
        return first, events

    def detach(self) -> None:
        """The reader is gone for good."""
        self._read = False
        self._chars = 0
        self._room.set()
        self._forget()

    def close(self) -> None:
        """Nothing is written or handed out any more."""
        self._close_delta()
        self._closed = True
        self.on_news, self.screen = _nobody_told, _as_it_is  # both hold this buffer
        self._room.set()

    def end(self, ending: TerminalEvent | MainstayError) -> None:
        """Hand out what is left with the terminal event as its last, or have the reader's iterator raise instead."""
        self.close()
        if not isinstance(ending, MainstayError):
            self._events.append(ending)
        self._ending = ending
        self._written.set()
        self._window_over.set()

    async def batches(self) -> AsyncGenerator[EventBatch, None]:
        """Yield batches until the one with which the buffer ends. Raises what it ends with instead."""
        await self._written.wait()
        if self._unread == 0 and len(self._events) == 1 and not self._parts:
            self._written.clear()
            await self._pass(self._written, self._first_batch_wait_s)
        while self._ending is None:
            await self._written.wait()
            last_batch_at = self._last_batch_at
            wait_s = last_batch_at + self._window_s() - self._clock()
            if wait_s > 0 and not self._urgent and self._ending is None:
                self._window_over.clear()
                await self._pass(self._window_over, wait_s)
            if self._last_batch_at != last_batch_at or not self._written.is_set():
                continue  # what there was has been taken by `take_early`
            if self._closed:  # what is left is being recorded
                self._written.clear()
            else:
                yield self._take()
        if isinstance(self._ending, MainstayError):
            raise self._ending
        yield self._take()

    async def _pass(self, event: asyncio.Event, wait_s: float) -> None:
        """Wait until `wait_s` have passed, which sets the event, or until it is set before."""
        timer = self._call_later(wait_s, event.set)
        try:
            await event.wait()
        finally:
            timer.cancel()

    @property
    def _next(self) -> int:
        return self._first + len(self._events)

    def _append(
        self, kind: type[TextDelta] | type[ReasoningDelta], delta: str, source: str | None, *, ahead: bool = False
    ) -> None:
        if self._closed or not delta:
            return
        if kind is TextDelta and source is None and self.first_text_at is None:
            self.first_text_at = self._clock()
        if kind is not self._kind or source != self._source or ahead is not self._ahead:
            self._close_delta()
            self._kind, self._source, self._ahead = kind, source, ahead
        self._parts.append(delta)
        self._count(delta)
        self._wake()

    def _wake(self) -> None:
        self._written.set()
        self._tell_news()

    def _tell_news(self) -> None:
        if not self._news and not self._closed:
            self._news = True
            self.on_news()

    def _count(self, text: str) -> None:
        if not self._read:
            return
        self._chars += len(text)
        if self._chars > self._max_chars:
            self._room.clear()

    def _close_delta(self) -> None:
        if not self._parts:
            return
        raw = "".join(self._parts)
        self._parts.clear()
        event = self._kind(text=sound_text(raw), source=self._source)
        if self._kind is TextDelta and self._source is None:
            self._lead.add(self._next, raw, event.text, ahead=self._ahead)
        self._events.append(event)

    def _take(self) -> EventBatch:
        self._close_delta()
        events = tuple(self._events[self._unread - self._first :])
        batch = EventBatch(
            attempt=self._attempt, first_seq=self._unread, events=events, unjudged_from=self._lead.unjudged_from
        )
        self._unread = self._next
        self._forget()
        self._chars = 0
        self._alone = self._alone or not self._urgent
        self._urgent = False
        self._last_batch_at = self._clock()
        self._written.clear()
        self._room.set()
        return batch

    def _forget(self) -> None:
        """Drop what everybody has taken."""
        taken = min(self._uncut, self._unread) if self._read else self._uncut
        if taken > self._first:
            del self._events[: taken - self._first]
            self._first = taken
