"""Many runs in few frames: what one run sends to an ingress replica takes along what the others there have to say.

What a batch costs is the crossing from one process to another (docs/performance.md has the figures), and hardly what it
holds. So whichever run of a reader is due first sends the batches of them all, over its own stream. Two streams keep no order
between them: each batch says where it belongs, and one that overtook another waits for it. What was lost with the stream that
carried it leaves a gap, and the run's reader is sent to its log.
"""

import asyncio
import contextvars
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol
from uuid import UUID

from services.errors import AgentLost, EventsMissing
from services.events import EventBatch, ReasoningDelta, RunEvent, TextDelta, ToolFinished, ToolStarted
from services.runs.buffer import EventBuffer, Timer, call_later
from services.types import RunTicket

SMALL_CHARS = 1_000
"""A batch with more text travels alone, and so does its run from then on: it may have to wait for its reader, and would hold up
whatever it carried. At ten batches a second it takes 10,000 characters a second to say so much.
"""

FRAME_CHARS = 65_536
"""What a frame takes along at most: far less than the 4 MiB that Serve lets pass."""

INBOX_CHARS = 65_536
"""What the ingress keeps for a reader of a run that shares frames. Who is further behind reads the log, which waits for him."""

GAP_S = 1.0
"""How long a batch waits for one that it has overtaken. A frame is on its way for far less, so that one is lost then."""

LINGER_S = 5.0
"""How long a stream that nobody reads any more is received all the same, for what it carries. A run that is stopped with its
reader ends it within moments.
"""

_TEXT = (TextDelta, ReasoningDelta)
_TOOL = (ToolStarted, ToolFinished)


_Packed = tuple[bytes, tuple[int, int, int | None, tuple[RunEvent | str, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Batches of different runs, by run: first that of the run over whose stream it goes.

    It is pickled in plain values, and text as itself: of objects in objects a batch costs ten times as much at both ends.
    """

    batches: tuple[tuple[UUID, EventBatch], ...]

    def __reduce__(self) -> tuple[Callable[[tuple[_Packed, ...]], "Frame"], tuple[tuple[_Packed, ...]]]:
        return _unpacked, (tuple(_packed(run_id, batch) for run_id, batch in self.batches),)


def _packed(run_id: UUID, batch: EventBatch) -> _Packed:
    events = tuple(
        event.text if isinstance(event, TextDelta) and event.source is None else event for event in batch.events
    )
    return run_id.bytes, (batch.attempt, batch.first_seq, batch.unjudged_from, events)


def _unpacked(packed: tuple[_Packed, ...]) -> Frame:
    return Frame(batches=tuple((UUID(bytes=of_run), _batch(*batch)) for of_run, batch in packed))


def _batch(attempt: int, first_seq: int, unjudged_from: int | None, events: tuple[RunEvent | str, ...]) -> EventBatch:
    said = tuple(TextDelta(text=event) if isinstance(event, str) else event for event in events)
    return EventBatch(attempt=attempt, first_seq=first_seq, events=said, unjudged_from=unjudged_from)


class Carrier(Protocol):
    """How the frames of a run come from its agent."""

    def execute(self, ticket: RunTicket) -> AsyncGenerator[Frame, None]:
        """Run a pending run and stream its batches, and others with them; for the rest as `services.runs.ports.Agent`."""
        ...


class Multiplexer:
    """The agent's end: the buffers of its runs that share frames, by who reads them."""

    def __init__(self) -> None:
        self._shared: defaultdict[UUID | None, dict[UUID, _Shared]] = defaultdict(dict)

    @contextmanager
    def sharing(self, ticket: RunTicket, buffer: EventBuffer, may_show: Callable[[], bool]) -> Iterator[None]:
        """Let the run's batches go along with others, while `may_show` says that its text may be shown at once.

        It lasts until the run says much at once.
        """
        self._shared[ticket.reader][ticket.run_id] = _Shared(buffer, may_show)
        try:
            yield
        finally:
            runs = self._shared[ticket.reader]
            runs.pop(ticket.run_id, None)
            if not runs:
                del self._shared[ticket.reader]

    def frame(self, ticket: RunTicket, batch: EventBatch) -> Frame:
        """Return a batch of the ticket's run together with what its reader's other runs have to say."""
        return Frame(batches=((ticket.run_id, batch), *self._others(ticket, batch)))

    def _others(self, ticket: RunTicket, batch: EventBatch) -> Iterator[tuple[UUID, EventBatch]]:
        runs, room = self._shared[ticket.reader], FRAME_CHARS
        if text_chars(batch) > SMALL_CHARS:
            runs.pop(ticket.run_id, None)
        if ticket.reader is None or ticket.run_id not in runs:
            return
        for run_id, run in runs.items():
            if room < SMALL_CHARS:
                return
            said = run.buffer.unread_chars
            if 0 < said <= SMALL_CHARS and run_id != ticket.run_id and run.may_show():
                room -= said
                if (along := run.buffer.take_early()) is not None:
                    yield run_id, along


@dataclass(frozen=True, slots=True)
class _Shared:
    buffer: EventBuffer
    may_show: Callable[[], bool]


class Demultiplexer:
    """The ingress's end: implements `services.runs.ports.Agent` over a carrier. `reader` is this replica's own id.

    Besides what an agent raises a reader is told EventsMissing where some of it was lost, or is too much to keep for him.
    """

    def __init__(
        self,
        carrier: Carrier,
        *,
        reader: UUID,
        call_later: Callable[[float, Callable[[], None]], Timer] = call_later,
    ) -> None:
        self._carrier = carrier
        self._reader = reader
        self._call_later = call_later
        self._inboxes: dict[UUID, _Inbox] = {}
        self._streams: set[asyncio.Task[None]] = set()

    async def execute(self, ticket: RunTicket) -> AsyncGenerator[EventBatch, None]:
        inbox = self._inboxes[ticket.run_id] = _Inbox(self._call_later)
        # In an empty context: Serve cancels with a request what was started in its context.
        receiving = self._receive(replace(ticket, reader=self._reader), inbox)
        stream = asyncio.get_running_loop().create_task(receiving, context=contextvars.Context())
        self._streams.add(stream)
        stream.add_done_callback(self._streams.discard)
        stream.add_done_callback(inbox.end)
        ended = False
        try:
            while not ended and (batch := await inbox.take()) is not None:
                ended = batch.terminal
                yield batch
        finally:
            inbox.close()
            del self._inboxes[ticket.run_id]
            self._leave(stream, at_once=inbox.alone and not ended)

    async def _receive(self, ticket: RunTicket, inbox: "_Inbox") -> None:
        """Hand out what comes over a run's stream. Its own batch is the first of a frame."""
        async with aclosing(self._carrier.execute(ticket)) as frames:
            async for frame in frames:
                [(_, own), *_] = frame.batches
                inbox.alone = inbox.alone or text_chars(own) > SMALL_CHARS
                for run_id, batch in frame.batches:
                    if (to := self._inboxes.get(run_id)) is not None:
                        to.put(batch)
                if inbox.alone and not own.terminal:
                    await inbox.emptied()

    def _leave(self, stream: "asyncio.Task[None]", *, at_once: bool) -> None:
        """Receive a stream no longer than for what it may bring to others."""
        if at_once:
            stream.cancel()
            return
        timer = self._call_later(LINGER_S, partial(_cancel, stream))
        stream.add_done_callback(lambda _: timer.cancel())


class _Inbox:
    """The batches of one run, in order, until its reader takes them, and INBOX_CHARS at most.

    A run that is `alone` shares no frames: more of it is received only when the reader has taken what there is.
    """

    def __init__(self, call_later: Callable[[float, Callable[[], None]], Timer]) -> None:
        self.alone = False
        self._call_later = call_later
        self._ready: deque[tuple[EventBatch, int]] = deque()
        self._early: dict[int, EventBatch] = {}
        self._next_seq = 0
        self._chars = 0
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._gap: Timer | None = None
        self._missing: str | None = None
        self._overflown = False
        self._stream: asyncio.Task[None] | None = None

    def put(self, batch: EventBatch) -> None:
        if self._overflown:
            return
        next_seq = self._next_seq
        self._early[batch.first_seq] = batch
        while (following := self._early.pop(self._next_seq, None)) is not None:
            said = text_chars(following) + tool_chars(following)
            self._ready.append((following, said))
            self._chars += said
            self._next_seq += len(following.events)
        if self._next_seq > next_seq:
            self.close()
            self._missing = None
            self._empty.clear()
            self._changed.set()
        if self._chars > INBOX_CHARS and not self.alone:
            # Nothing is kept any more: the log has all of it.
            self._overflown = True
            self._missing = "Its reader is too far behind."
            self._ready.clear()
        elif self._early and self._gap is None:
            self._gap = self._call_later(GAP_S, self._lose)

    async def take(self) -> EventBatch | None:
        """Return the next batch, None where the run's stream has ended and nothing more can come. Raises what broke it."""
        while not self._ready:
            self._empty.set()
            if self._missing is not None:
                raise EventsMissing(self._missing)
            if self._stream is not None and not self._early:
                if self._stream.cancelled():
                    raise AgentLost("The agent's stream was cut off.")
                self._stream.result()
                return None
            self._changed.clear()
            await self._changed.wait()
        batch, said = self._ready.popleft()
        self._chars -= said
        return batch

    async def emptied(self) -> None:
        """Return once the reader has taken everything and asked for more."""
        await self._empty.wait()

    def end(self, stream: "asyncio.Task[None]") -> None:
        """Take note that the run's own stream has ended."""
        self._stream = stream
        self._changed.set()

    def close(self) -> None:
        """Wait no longer for what is missing."""
        if self._gap is not None:
            self._gap.cancel()
            self._gap = None

    def _lose(self) -> None:
        self._missing = "A part of it was lost on its way."
        self._changed.set()


def text_chars(batch: EventBatch) -> int:
    """Return how much text of a model is in a batch."""
    return sum(len(event.text) for event in batch.events if isinstance(event, _TEXT))


def tool_chars(batch: EventBatch) -> int:
    """Return how much of a batch is what tools were given and gave back."""
    sizes = (
        len(event.result if isinstance(event, ToolFinished) else event.arguments)
        for event in batch.events
        if isinstance(event, _TOOL)
    )
    return sum(sizes)


def _cancel(stream: "asyncio.Task[None]") -> None:
    stream.cancel()
