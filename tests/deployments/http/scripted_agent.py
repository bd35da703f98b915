"""An agent replica that plays what a test has written for it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from dataclasses import replace
from uuid import UUID, uuid4

from services.errors import AgentLost, MainstayError
from services.events import (
    TERMINAL_EVENTS,
    EventBatch,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunInterrupted,
    RunRestarted,
    RunStarted,
    TerminalEvent,
    TextDelta,
)
from services.runs.logged_run import row_of
from services.storage.memory import MemoryStore
from services.types import Claim, EventId, Message, RunOutcome, RunStatus, RunTicket, Usage

LEASE = uuid4()
LEASE_S = 1e6
COMPLETED = RunCompleted(finish_reason="stop", usage=Usage(input_tokens=7, output_tokens=3), duration_s=0.5)
HELLO: tuple[RunEvent, ...] = (TextDelta(text="Hel"), TextDelta(text="lo"), COMPLETED)

Step = RunEvent | asyncio.Event | MainstayError


class Playing:
    """A run at its agent: each of its events is in the log before anybody sees it, and the last one with its outcome."""

    def __init__(self, store: MemoryStore, claim: Claim) -> None:
        self.claim = claim
        self.stopped = asyncio.Event()
        self.last = EventId(attempt=claim.run.attempt, seq=-1)
        self._said: list[tuple[EventId, str]] = []
        self._store = store

    async def say(self, event: RunEvent | MainstayError) -> EventBatch:
        if isinstance(event, MainstayError):
            shown = bool(self._said)
            event = RunFailed(failure=event.to_failure(), partial=shown, usage=Usage(), duration_s=0.5)
        if isinstance(event, RunRestarted):
            self._take_over(event)
        self.last = replace(self.last, seq=self.last.seq + 1)
        if isinstance(event, TextDelta) and event.source is None:
            self._said.append((self.last, event.text))
        row = row_of(self.claim.fence, self.last.seq, (event,))
        if isinstance(event, TERMINAL_EVENTS):
            await self._store.owned_runs.finish(self.claim, self._outcome(event), [row])
            self.stopped.set()
        else:
            await self._store.owned_runs.append([row])
        return EventBatch(attempt=self.last.attempt, first_seq=self.last.seq, events=(event,))

    def _take_over(self, event: RunRestarted) -> None:
        row = self._store.tables.runs[self.claim.run.id]
        row.run = replace(row.run, attempt=event.attempt)
        self.claim = replace(self.claim, run=row.run)
        self.last = EventId(attempt=event.attempt, seq=-1)
        self._said = [(at, text) for at, text in self._said if event.keep is not None and at <= event.keep]

    def _outcome(self, event: TerminalEvent) -> RunOutcome:
        text = "".join(text for _, text in self._said)
        messages = (Message(role="assistant", content=text),) if text else ()
        match event:
            case RunCompleted(finish_reason=reason):
                return RunOutcome(
                    status=RunStatus.COMPLETED, messages=messages, usage=event.usage, finish_reason=reason
                )
            case RunFailed(failure=failure):
                return RunOutcome(status=RunStatus.FAILED, messages=messages, usage=event.usage, failure=failure)
            case RunInterrupted(interrupts=asked):
                return RunOutcome(status=RunStatus.INTERRUPTED, messages=messages, usage=event.usage, interrupts=asked)
            case RunCancelled():
                return RunOutcome(status=RunStatus.CANCELLED, messages=messages, usage=event.usage)


class ScriptedAgent:
    """Plays steps, one batch each, with RunStarted before them: an event is said, an asyncio.Event waited for.

    An error fails the run. With `silent_start` an error is raised, and RunStarted left out. After an AgentLost the rest is
    said by another replica, into the log only, for the stream is broken.
    """

    def __init__(self, store: MemoryStore, steps: Sequence[Step] = HELLO) -> None:
        self.steps = steps
        self.silent_start = False
        self.executing = asyncio.Event()
        self.waiting = asyncio.Event()
        self.tickets: list[RunTicket] = []
        self.closed = asyncio.Event()
        self.sent = 0
        self._store = store
        self._playing: dict[UUID, Playing] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def execute(self, ticket: RunTicket) -> AsyncGenerator[EventBatch, None]:
        self.tickets.append(ticket)
        self.executing.set()
        playing, steps = self._begin(await self._store.owned_runs.claim(ticket.run_id, LEASE))
        try:
            async for batch in self._play(playing, steps):
                yield batch
                self.sent += 1
                await asyncio.sleep(0)  # as a stream from another process would
        except AgentLost:
            self._spawn(self._play_out(playing, steps))
            raise
        finally:
            self.closed.set()

    async def work(self) -> None:
        """Take what is queued and may be taken, and play it to its end."""
        await self._store.leases.beat(LEASE, LEASE_S)
        for claim in await self._store.leases.take_queued(LEASE, limit=10, background=True):
            await self._play_out(*self._begin(claim))

    def notified(self, news: str) -> None:
        """What Postgres tells the agents: a run is to be stopped, or one may be taken, which waits for `work` here."""
        if news == "cancel":
            self._spawn(self._stop())

    async def _stop(self) -> None:
        for cancellation in await self._store.leases.beat(LEASE, LEASE_S):
            playing = self._playing[cancellation.run_id]
            await playing.say(RunCancelled(reason=cancellation.reason, usage=Usage(), duration_s=0.5))

    def _begin(self, claim: Claim) -> tuple[Playing, Iterator[Step]]:
        run = claim.run
        self._playing[run.id] = playing = Playing(self._store, claim)
        started = RunStarted(run_id=run.id, thread_id=run.thread_id, graph=run.graph)
        return playing, iter(self.steps if self.silent_start else (started, *self.steps))

    async def _play(self, playing: Playing, steps: Iterator[Step]) -> AsyncGenerator[EventBatch, None]:
        for step in steps:
            if isinstance(step, asyncio.Event):
                self.waiting.set()
                await _first_of(step, playing.stopped)
            elif isinstance(step, AgentLost) or (self.silent_start and isinstance(step, MainstayError)):
                raise step
            if playing.stopped.is_set():
                return
            if not isinstance(step, asyncio.Event):
                yield await playing.say(step)

    async def _play_out(self, playing: Playing, steps: Iterator[Step]) -> None:
        async for _ in self._play(playing, steps):
            pass

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
