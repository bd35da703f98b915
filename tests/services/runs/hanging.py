"""An agent, a store and a guard that fall silent when told to, and a world of them in which time passes by hand."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from services.errors import MainstayError
from services.runs.live_run import LiveRun
from services.runs.service import RunService
from services.types import (
    ALLOWED,
    EventBatch,
    Message,
    Principal,
    Run,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunOutcome,
    RunRequest,
    RunStarted,
    RunStatus,
    RunTicket,
    Stage,
    TextDelta,
    Usage,
    Verdict,
)
from tests.services.runs.fakes import FakeRunStore
from tests.services.runs.manual_time import ManualTime

ANN = Principal(tenant_id="acme", user_id="ann")
ASK = RunRequest(graph="react", messages=(Message(role="user", content="hello"),))
MAX_RUN_S = 60.0


def batch(seq: int, *events: RunEvent) -> EventBatch:
    return EventBatch(attempt=1, first_seq=seq, events=events)


STARTED = batch(0, RunStarted(run_id=uuid4(), thread_id=uuid4(), graph="react"))
HALF = batch(1, TextDelta(text="half"))
PLAN = batch(1, TextDelta(text="first a plan", source="planner"))
DONE = batch(2, RunCompleted(finish_reason="stop", usage=Usage(), duration_s=0.0))


@dataclass
class Hangs:
    """Something that never comes; `reached` tells that somebody waits for it."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        self.reached.set()
        await self.go.wait()


class HangingAgent:
    """Yields `batches`, raises an error among them, and then says nothing. One that is `deaf` never answers a cancel."""

    def __init__(self, *batches: EventBatch | MainstayError, deaf: bool = False) -> None:
        self.batches = batches
        self.deaf = deaf
        self.silence = Hangs()
        self.tickets: list[RunTicket] = []
        self.cancels: list[str] = []
        self.cancelling = Hangs()
        self.closed = False

    async def execute(self, ticket: RunTicket) -> AsyncIterator[EventBatch]:
        self.tickets.append(ticket)
        try:
            for item in self.batches:
                if isinstance(item, MainstayError):
                    raise item
                yield item
            await self.silence.wait()
            yield DONE
        finally:
            self.closed = True

    async def cancel(self, run_id: UUID, reason: str) -> None:
        self.cancels.append(reason)
        if self.deaf:
            await self.cancelling.wait()


class HangingStore(FakeRunStore):
    """Does not come back from `create`, or from `finish`, while those are set."""

    def __init__(self) -> None:
        super().__init__()
        self.creating: Hangs | None = None
        self.finishing: Hangs | None = None

    async def create(self, run: Run) -> None:
        await super().create(run)
        if self.creating:
            await self.creating.wait()

    async def finish(self, run: Run, outcome: RunOutcome) -> RunStatus:
        if self.finishing:
            await self.finishing.wait()
        return await super().finish(run, outcome)


class SlowGuard:
    """Takes `seconds` of the world's time for a verdict, or for ever."""

    def __init__(self, time: ManualTime) -> None:
        self.time = time
        self.seconds = 0.0
        self.hangs: Hangs | None = None

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        self.time.advance(self.seconds)
        if self.hangs:
            await self.hangs.wait()
        return ALLOWED


class World:
    def __init__(self, *batches: EventBatch | MainstayError, deaf: bool = False) -> None:
        self.time = ManualTime()
        self.agent = HangingAgent(*batches, deaf=deaf)
        self.store = HangingStore()
        self.guard = SlowGuard(self.time)
        self.service = RunService(
            agent=self.agent,
            runs=self.store,
            guard=self.guard,
            graphs=["react"],
            max_run_s=MAX_RUN_S,
            new_id=uuid4,
            clock=self.time,
            call_later=self.time.call_later,
        )

    def start(self, request: RunRequest = ASK) -> "asyncio.Task[LiveRun]":
        return begin(self.service.start(ANN, request))

    async def opened(self, request: RunRequest = ASK) -> LiveRun:
        """Start a run and read what its agent has to say before it falls silent."""
        live = await self.service.start(ANN, request)
        for _ in self.agent.batches:
            await anext(live)
        return live

    @property
    def ends(self) -> list[tuple[RunStatus, str | None]]:
        """How the runs are on record."""
        outcomes = self.store.outcomes.values()
        return [(outcome.status, outcome.failure.code if outcome.failure else None) for outcome in outcomes]

    @property
    def kept(self) -> list[str]:
        """What of their answers is on record."""
        return [message.content for outcome in self.store.outcomes.values() for message in outcome.messages]


OUT_OF_TIME = (RunStatus.FAILED, "deadline_exceeded")


def begin(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(work)


async def failure_of(work: "asyncio.Task[EventBatch]") -> RunFailed:
    """Return the only event of a batch, which is a failure."""
    [event] = (await work).events
    assert isinstance(event, RunFailed)
    return event
