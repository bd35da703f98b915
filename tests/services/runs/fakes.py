"""Stand-ins for what a run stands on, behind the same protocols."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from langchain_core.messages import AIMessage

from services.errors import MainstayError, NotFound
from services.llm.types import ModelCall, TextSink
from services.runs.engine import RunTimes
from services.runs.types import GraphResult, RunContext
from services.types import (
    ALLOWED,
    EventBatch,
    Message,
    Principal,
    Run,
    RunOutcome,
    RunStatus,
    RunTicket,
    Stage,
    Verdict,
)


class FakeClock:
    """A clock that only moves when somebody sleeps on it or sets it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.Handle:
        """Let the time pass at once: the callback runs at the loop's next turn."""
        self.slept.append(seconds)
        self.now += seconds
        return asyncio.get_running_loop().call_soon(callback)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def a_run(**changes: object) -> Run:
    run = Run(
        id=uuid4(),
        thread_id=uuid4(),
        tenant_id="acme",
        user_id="ann",
        graph="react",
        status=RunStatus.PENDING,
        messages=(Message(role="user", content="hello"),),
    )
    return replace(run, **changes)  # type: ignore[arg-type]


class FakeRunStore:
    """Runs in a dict. `failures` are raised by the next calls of `finish`, one each."""

    def __init__(self, *runs: Run) -> None:
        self.runs = {run.id: run for run in runs}
        self.outcomes: dict[UUID, RunOutcome] = {}
        self.failures: list[MainstayError] = []
        self.created = asyncio.Event()
        self.finished = asyncio.Event()

    async def create(self, run: Run) -> None:
        self.runs[run.id] = run
        self.created.set()

    async def start(self, run_id: UUID) -> Run:
        if run_id not in self.runs or run_id in self.outcomes:
            raise NotFound("no such run")
        return self.runs[run_id]

    async def finish(self, run: Run, outcome: RunOutcome) -> RunStatus:
        if self.failures:
            raise self.failures.pop(0)
        first = self.outcomes.setdefault(run.id, outcome)
        self.finished.set()
        return first.status

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        return self.runs[run_id]


class FakeGuard:
    """Gives `verdict`, or raises it."""

    def __init__(self, verdict: Verdict | MainstayError = ALLOWED) -> None:
        self.verdict = verdict

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        if isinstance(self.verdict, MainstayError):
            raise self.verdict
        return self.verdict


@dataclass
class FakeAgent:
    """Yields `batches`; an error among them is raised. Waits for `go` before the batch numbered `hold`."""

    batches: list[EventBatch | MainstayError] = field(default_factory=list)
    hold: int | None = None
    go: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: list[tuple[UUID, str]] = field(default_factory=list)
    closed: bool = False

    async def execute(self, ticket: RunTicket) -> AsyncIterator[EventBatch]:
        try:
            for number, batch in enumerate(self.batches):
                if number == self.hold:
                    await self.go.wait()
                if isinstance(batch, MainstayError):
                    raise batch
                yield batch
        finally:
            self.closed = True

    async def cancel(self, run_id: UUID, reason: str) -> None:
        self.cancelled.append((run_id, reason))


Script = Callable[[RunContext], Awaitable[GraphResult]]


@dataclass
class FakeGraph:
    """A graph that is one async function."""

    script: Script

    async def invoke(self, context: RunContext) -> GraphResult:
        return await self.script(context)


@dataclass
class FakeProvider:
    """A provider that is one async function of the call and the sink; counts how often it was asked."""

    script: Callable[[ModelCall, TextSink], Awaitable[AIMessage]]
    name: str = "fake"
    model: str = "fake-1"
    asked: int = 0

    async def generate(self, call: ModelCall, sink: TextSink) -> AIMessage:
        self.asked += 1
        return await self.script(call, sink)

    async def aclose(self) -> None: ...


@dataclass
class FakeObserver:
    ended: list[tuple[Run, RunOutcome, RunTimes]] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def run_ended(self, run: Run, outcome: RunOutcome, times: RunTimes) -> None:
        self.ended.append((run, outcome, times))
        self.told.set()
