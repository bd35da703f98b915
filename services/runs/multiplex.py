"""Many runs in few frames: what one run sends to an ingress replica takes along what the others there have to say.

What a batch costs is the crossing from one process to another, some 0.4 ms of CPU at both ends together, and hardly what it
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
from typing import Protocol
from uuid import UUID

from services.errors import AgentLost
from services.events import EventBatch, ReasoningDelta, TextDelta
from services.runs.buffer import EventBuffer, Timer, call_later
from services.types import RunTicket

SMALL_CHARS = 1_000
"""A batch with more text travels alone, and no other follows it over its stream before its reader has taken it.

At ten batches a second a run has to say ten times as much as a quick model says before its batches are not small, so those
that share frames are never so far ahead of their readers that they have to wait for them.
"""

FRAME_CHARS = 65_536
"""What a frame takes along at most: far less than the 4 MiB that Serve lets pass."""

GAP_S = 0.25
"""How long a batch waits for one that it has overtaken. It does so by a millisecond or two, or the other one is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Batches of different runs, by run: first that of the run over whose stream it goes."""

    batches: tuple[tuple[UUID, EventBatch], ...]


class Carrier(Protocol):
    """How the frames of a run come from its agent."""

    def execute(self, ticket: RunTicket) -> AsyncGenerator[Frame, None]:
        """Run a pending run and stream its batches, and others with them; for the rest as `services.runs.ports.Agent`."""
        ...


class Multiplexer:
    """The agent's end: the buffers of its runs that are being read, by who reads them."""

    def __init__(self) -> None:
        self._read: defaultdict[UUID | None, dict[UUID, _Shared]] = defaultdict(dict)

    @contextmanager
    def sharing(self, ticket: RunTicket, buffer: EventBuffer, may_show: Callable[[], bool]) -> Iterator[None]:
        """Let the run's batches go along with others, while `may_show` says that its text may be shown at once."""
        runs = self._read[ticket.reader]
        runs[ticket.run_id] = _Shared(buffer, may_show)
        try:
            yield
        finally:
            del runs[ticket.run_id]
            if not runs:
                self._read.pop(ticket.reader, None)

    def frame(self, ticket: RunTicket, batch: EventBatch) -> Frame:
        """Return a batch of the ticket's run together with what its reader's other runs have to say."""
        return Frame(batches=((ticket.run_id, batch), *self._others(ticket, batch)))

    def _others(self, ticket: RunTicket, batch: EventBatch) -> Iterator[tuple[UUID, EventBatch]]:
        if ticket.reader is None or not small(batch):
            return
        room = FRAME_CHARS
        for run_id, run in self._read[ticket.reader].items():
            if room < SMALL_CHARS:
                return
            if run_id != ticket.run_id and run.buffer.unread_chars <= SMALL_CHARS and run.may_show():
                room -= run.buffer.unread_chars
                if (along := run.buffer.take_early()) is not None:
                    yield run_id, along


@dataclass(frozen=True, slots=True)
class _Shared:
    buffer: EventBuffer
    may_show: Callable[[], bool]


class Demultiplexer:
    """The ingress's end: implements `services.runs.ports.Agent` over a carrier. `reader` is this replica's own id."""

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
        try:
            while (batch := await inbox.take()) is not None:
                yield batch
        finally:
            inbox.close()
            del self._inboxes[ticket.run_id]
            stream.cancel()

    async def _receive(self, ticket: RunTicket, inbox: "_Inbox") -> None:
        """Hand out what comes over a run's stream. Its own batch is the first of a frame."""
        async with aclosing(self._carrier.execute(ticket)) as frames:
            async for frame in frames:
                for run_id, batch in frame.batches:
                    if (to := self._inboxes.get(run_id)) is not None:
                        to.put(batch)
                [(_, own), *_] = frame.batches
                if own.terminal:
                    return
                if not small(own):
                    await inbox.emptied()


class _Inbox:
    """The batches of one run, in order, until its reader takes them."""

    def __init__(self, call_later: Callable[[float, Callable[[], None]], Timer]) -> None:
        self._call_later = call_later
        self._ready: deque[EventBatch] = deque()
        self._early: dict[int, EventBatch] = {}
        self._next_seq = 0
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._gap: Timer | None = None
        self._stream: asyncio.Task[None] | None = None
        self._lost = False

    def put(self, batch: EventBatch) -> None:
        self._early[batch.first_seq] = batch
        while (following := self._early.pop(self._next_seq, None)) is not None:
            self._ready.append(following)
            self._next_seq += len(following.events)
        if self._ready:
            self._empty.clear()
            self._changed.set()
        if not self._early:
            self.close()
        elif self._gap is None:
            self._gap = self._call_later(GAP_S, self._lose)

    async def take(self) -> EventBatch | None:
        """Return the next batch, None where the run's stream has ended and nothing more can come. Raises what broke it."""
        while not self._ready:
            self._empty.set()
            if self._lost:
                raise AgentLost("A part of what the run said was lost on its way.")
            if self._stream is not None and not self._early:
                self._stream.result()
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._ready.popleft()

    async def emptied(self) -> None:
        """Return once the reader has taken everything and asked for more."""
        await self._empty.wait()

    def end(self, stream: "asyncio.Task[None]") -> None:
        """Take note that the run's own stream has ended."""
        self._stream = stream
        self._changed.set()

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._gap is not None:
            self._gap.cancel()
            self._gap = None

    def _lose(self) -> None:
        self._lost = True
        self._changed.set()


def small(batch: EventBatch) -> bool:
    """Whether a batch shares a frame with others: it is text, and not much."""
    chars = 0
    for event in batch.events:
        if isinstance(event, TextDelta | ReasoningDelta):
            chars += len(event.text)
    return chars <= SMALL_CHARS
