"""The ingress's world in memory: a scripted agent, a guard, a store and a log that can fail or fall silent, time by hand."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from services.errors import MainstayError
from services.events import (
    TERMINAL_EVENTS,
    EventBatch,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunInterrupted,
    RunStarted,
    TextDelta,
)
from services.guard import ALLOWED, Stage, Verdict
from services.runs.event_codec import encode
from services.runs.following import FollowPolicy, LogFollower
from services.runs.live_run import ReadRun
from services.runs.ports import PLAIN, Created, LogPage
from services.runs.service import RunService
from services.storage.memory_leases import MemoryRunLog
from services.storage.memory_runs import MemoryRuns
from services.storage.memory_tables import MemoryTables, RunRow
from services.types import (
    CancelAction,
    EventId,
    Message,
    Principal,
    Run,
    RunOutcome,
    RunRequest,
    RunStatus,
    RunTicket,
    Submission,
    Usage,
)
from tests.services.runs.manual_time import ManualTime

ANN = Principal(tenant_id="acme", user_id="ann")
BOB = Principal(tenant_id="acme", user_id="bob")
ASK = RunRequest(graph="react", messages=(Message(role="user", content="hello"),))
MAX_RUN_S = 60.0
OUT_OF_TIME = (RunStatus.FAILED, "deadline_exceeded")
STATUSES = {
    RunCompleted: RunStatus.COMPLETED,
    RunFailed: RunStatus.FAILED,
    RunCancelled: RunStatus.CANCELLED,
    RunInterrupted: RunStatus.INTERRUPTED,
}


def batch(seq: int, *events: RunEvent, attempt: int = 1) -> EventBatch:
    return EventBatch(attempt=attempt, first_seq=seq, events=events)


STARTED = batch(0, RunStarted(run_id=uuid4(), thread_id=uuid4(), graph="react"))
HALF = batch(1, TextDelta(text="half"))
PLAN = batch(1, TextDelta(text="first a plan", source="planner"))
COMPLETED = RunCompleted(finish_reason="stop", usage=Usage(), duration_s=0.0)
DONE = batch(2, COMPLETED)


@dataclass
class Hangs:
    """Something that does not come before `go`; `reached` tells that somebody waits for it."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        self.reached.set()
        await self.go.wait()


class ScriptedAgent:
    """Yields batches, raises an error among them, and then ends; one that is `silent` says nothing more instead."""

    def __init__(self, *script: EventBatch | MainstayError, silent: bool = False) -> None:
        self.script = script
        self.silence = Hangs() if silent else None
        self.tickets: list[RunTicket] = []
        self.closed = False

    async def execute(self, ticket: RunTicket) -> AsyncGenerator[EventBatch, None]:
        self.tickets.append(ticket)
        try:
            for item in self.script:
                if isinstance(item, MainstayError):
                    raise item
                yield item
            if self.silence is not None:
                await self.silence.wait()
                yield DONE
        finally:
            self.closed = True


class Unreliable:
    """What can be made to fail or to hang, by the name of a method: each of its `failures` once, `hangs` until let go."""

    def __init__(self) -> None:
        self.failures: dict[str, list[MainstayError]] = defaultdict(list)
        self.hangs: dict[str, Hangs] = {}

    async def meets(self, method: str) -> None:
        if self.failures[method]:
            raise self.failures[method].pop(0)
        if method in self.hangs:
            await self.hangs[method].wait()


class IngressStore(MemoryRuns):
    """Runs in memory; `told` is what was said of them, `create` hangs only when it has stored the run."""

    def __init__(self, tables: MemoryTables, faults: Unreliable) -> None:
        super().__init__(tables)
        self.faults = faults
        self.created = asyncio.Event()
        self.told: list[tuple[Any, ...]] = []

    async def create(self, run: Run, submission: Submission = PLAIN) -> Created:
        if self.faults.failures["create"]:
            await self.faults.meets("create")
        created = await super().create(run, submission)
        self.created.set()
        await self.faults.meets("create")
        return created

    async def finish(self, run: Run, outcome: RunOutcome) -> RunStatus:
        await self.faults.meets("finish")
        return await super().finish(run, outcome)

    async def cancel(self, run_id: UUID, action: CancelAction, reason: str) -> None:
        self.told.append(("cancel", run_id, action, reason))
        await self.faults.meets("cancel")
        await super().cancel(run_id, action, reason)

    async def suspect(self, run_id: UUID) -> None:
        self.told.append(("suspect", run_id))
        await self.faults.meets("suspect")
        await super().suspect(run_id)


class IngressLog(MemoryRunLog):
    """The log in memory; `asked` is set whenever it is read."""

    def __init__(self, tables: MemoryTables, faults: Unreliable) -> None:
        super().__init__(tables)
        self.faults = faults
        self.asked = asyncio.Event()

    async def read(self, positions: Mapping[UUID, EventId | None]) -> Mapping[UUID, LogPage]:
        self.asked.set()
        await self.faults.meets("read")
        return await super().read(positions)


class Screen:
    """A guard. Gives `verdict`, or raises it, after `seconds` of the world's time; `stored` counts the runs it has seen."""

    def __init__(self, time: ManualTime, tables: MemoryTables, faults: Unreliable) -> None:
        self.verdict: Verdict | MainstayError = ALLOWED
        self.seconds = 0.0
        self.stored = 0
        self.texts: list[str] = []
        self._time, self._tables, self._faults = time, tables, faults

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        self.texts += texts
        self.stored = max(self.stored, len(self._tables.runs))
        self._time.advance(self.seconds)
        await self._faults.meets("check")
        if isinstance(self.verdict, MainstayError):
            raise self.verdict
        return self.verdict


class Grants:
    """Implements `Admission`: grants all. `held` are the runs that hold a place, `told` is what it was told."""

    def __init__(self, faults: Unreliable) -> None:
        self.held: set[UUID] = set()
        self.told: list[str] = []
        self._faults = faults

    async def admit(self, run: Run) -> None:
        await self._faults.meets("admit")
        self.held.add(run.id)
        self.told.append("admit")

    async def idle(self, run: Run) -> None:
        self.held.discard(run.id)
        self.told.append("idle")

    async def unused(self, run: Run) -> None:
        self.held.discard(run.id)
        self.told.append("unused")


def hurried(delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
    """Call back after a millisecond, whatever was asked for: for what only pauses between two looks."""
    return asyncio.get_running_loop().call_later(0.001, callback)


class World:
    """A RunService and all it stands on. `time` is the runs'; the log is looked at every millisecond."""

    def __init__(self, *script: EventBatch | MainstayError, silent: bool = False) -> None:
        self.time = ManualTime()
        self.faults = Unreliable()
        self.tables = MemoryTables(self._now, lambda _: None)
        self.agent = ScriptedAgent(*script, silent=silent)
        self.store = IngressStore(self.tables, self.faults)
        self.log = IngressLog(self.tables, self.faults)
        self.guard = Screen(self.time, self.tables, self.faults)
        self.grants = Grants(self.faults)
        self.service = RunService(
            agent=self.agent,
            runs=self.store,
            log=LogFollower(self.log, FollowPolicy(), clock=self.time, call_later=hurried),
            guard=self.guard,
            graphs=["react"],
            max_run_s=MAX_RUN_S,
            new_id=uuid4,
            admission=self.grants,
            clock=self.time,
            call_later=self.time.call_later,
        )

    def _now(self) -> datetime:
        return datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=self.time.now)

    async def start(self, request: RunRequest = ASK) -> ReadRun:
        return await self.service.start(ANN, request)

    async def opened(self, request: RunRequest = ASK) -> ReadRun:
        """Start a run and read what its agent has to say."""
        live = await self.start(request)
        for _ in self.agent.script:
            await anext(aiter(live))
        return live

    def row(self, run: Run | UUID) -> RunRow:
        return self.tables.runs[run if isinstance(run, UUID) else run.id]

    def say(self, run: Run | UUID, *events: RunEvent, attempt: int = 1) -> None:
        """Have an agent that has the run say something: into the log, as one row. A terminal event ends the run."""
        row = self.row(run)
        first = 1 + max((seq for of, seq in row.log if of == attempt), default=-1)
        row.log[attempt, first + len(events) - 1] = (first, encode(events))
        row.run = replace(row.run, status=RunStatus.RUNNING, attempt=attempt)
        last = events[-1]
        if isinstance(last, TERMINAL_EVENTS):
            self.tables.end(row, STATUSES[type(last)], failure=last.failure if isinstance(last, RunFailed) else None)

    @property
    def runs(self) -> list[Run]:
        return [row.run for row in self.tables.runs.values()]

    @property
    def ends(self) -> list[tuple[RunStatus, str | None]]:
        """How the runs that have ended are on record."""
        return [(run.status, run.failure.code if run.failure else None) for run in self.runs if run.status.ended]

    @property
    def kept(self) -> list[str]:
        """What of their answers is on record."""
        return [message.content for row in self.tables.runs.values() for message in row.answer]


async def read(run: ReadRun) -> list[EventBatch]:
    """Everything that a reader is given."""
    return [batch async for batch in run]


def begin(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(work)


def following(live: ReadRun) -> "asyncio.Task[EventBatch]":
    """Begin to read the next batch."""

    async def next_batch() -> EventBatch:
        return await anext(aiter(live))

    return asyncio.create_task(next_batch())


async def failure_of(work: "asyncio.Task[EventBatch]") -> RunFailed:
    """Return the only event of a batch, which is a failure."""
    [event] = (await work).events
    assert isinstance(event, RunFailed)
    return event


async def turns(count: int = 5) -> None:
    """Let whatever can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)
