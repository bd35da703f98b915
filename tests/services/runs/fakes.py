"""Stand-ins for what a run stands on, behind the same protocols."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from langchain_core.messages import AIMessage

from services.errors import MainstayError, NotFound, RunSuperseded, StoreUnavailable
from services.events import RunEvent
from services.guard import ALLOWED, Stage, Verdict
from services.llm.types import ModelCall, TextSink
from services.runs.checkpoints import KeptCheckpoint
from services.runs.engine import RunTimes
from services.runs.event_codec import decode
from services.runs.log_writer import LogRow
from services.runs.types import GraphResult, RunContext
from services.types import Claim, EventId, Fence, Message, Progress, Run, RunOutcome, RunStatus


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


def a_checkpoint() -> KeptCheckpoint:
    return KeptCheckpoint(
        namespace="", id="1", parent_id=None, versions={}, type="x", body=b"x", metadata={}, values=()
    )


class FakeOwnedRuns:
    """Runs as agents have them, in dicts. `take_over` makes an attempt a thing of the past.

    What is in `finish_failures` and `append_failures` is raised by the next calls, one each; `append` waits while `hold` is
    set, and breaks on rows with `poison` in them. `sent` has what each `append` was given, `kept` what each `finish` was.
    """

    def __init__(self, *runs: Run) -> None:
        self.runs = {run.id: run for run in runs}
        self.attempts: dict[UUID, int] = {}
        self.outcomes: dict[UUID, RunOutcome] = {}
        self.rows: dict[tuple[UUID, int, int], LogRow] = {}
        self.sent: list[Sequence[LogRow]] = []
        self.kept: list[KeptCheckpoint | None] = []
        self.finish_failures: list[Exception] = []
        self.append_failures: list[Exception] = []
        self.claiming: asyncio.Event | None = None
        self.hold: asyncio.Event | None = None
        self.poison: bytes | None = None
        self.watching: set[UUID] = set()
        self.looks: list[float] = []
        self.away = False
        self.finished = asyncio.Event()

    async def claim(self, run_id: UUID, lease: UUID) -> Claim:
        if run_id not in self.runs or run_id in self.attempts or run_id in self.outcomes:
            raise NotFound("no such run")
        claim = self.take_over(run_id)
        if self.claiming:
            await self.claiming.wait()
        return claim

    def take_over(self, run_id: UUID, *, progress: Progress | None = None, crashes: int = 0) -> Claim:
        """Begin the next attempt."""
        self.attempts[run_id] = self.attempts.get(run_id, 0) + 1
        run = replace(self.runs[run_id], status=RunStatus.RUNNING, attempt=self.attempts[run_id])
        return Claim(run=run, remaining_s=60.0, crashes=crashes, progress=progress)

    async def finish(
        self, claim: Claim, outcome: RunOutcome, rows: Sequence[LogRow], last: KeptCheckpoint | None = None
    ) -> RunStatus:
        self.kept.append(last)
        self._raise(self.finish_failures)
        if self.attempts[claim.run.id] != claim.run.attempt:
            raise RunSuperseded("another attempt has begun")
        first = self.outcomes.setdefault(claim.run.id, outcome)
        if first is outcome:
            self._store(rows)
        self.finished.set()
        return first.status

    async def append(self, rows: Sequence[LogRow]) -> Collection[UUID]:
        self.sent.append(rows)
        if self.hold:
            await self.hold.wait()
        self._raise(self.append_failures)
        if any(self.poison and self.poison in row.body for row in rows):
            raise OverflowError("these rows cannot be stored")
        refused = {row.fence.run_id for row in rows if not self._holds(row.fence)}
        self._store([row for row in rows if row.fence.run_id not in refused])
        return refused

    async def watched(self, run_id: UUID, within_s: float) -> bool:
        self.looks.append(within_s)
        self._raise([])
        return run_id in self.watching

    def log(self, run_id: UUID) -> list[tuple[EventId, RunEvent]]:
        """What is stored of a run. Fails where an event is there twice, or one of an attempt is missing."""
        events: list[tuple[EventId, RunEvent]] = []
        for (of_run, attempt, _), row in sorted(self.rows.items()):
            if of_run == run_id:
                named = enumerate(decode(row.body), row.first_seq)
                events += [(EventId(attempt=attempt, seq=seq), event) for seq, event in named]
        ids = [event_id for event_id, _ in events]
        for attempt in {event_id.attempt for event_id in ids}:
            seqs = [event_id.seq for event_id in ids if event_id.attempt == attempt]
            assert seqs == list(range(len(seqs))), f"attempt {attempt} has the events {seqs}"
        return events

    def _holds(self, fence: Fence) -> bool:
        return self.attempts.get(fence.run_id) == fence.attempt and fence.run_id not in self.outcomes

    def _raise(self, failures: list[Exception]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        if failures:
            raise failures.pop(0)

    def _store(self, rows: Sequence[LogRow]) -> None:
        for row in rows:
            known = self.rows.setdefault((row.fence.run_id, row.fence.attempt, row.seq), row)
            assert known == row, "one row was cut in two ways"


class FakeGuard:
    """Gives `verdict`, or raises it."""

    def __init__(self, verdict: Verdict | MainstayError = ALLOWED) -> None:
        self.verdict = verdict

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        if isinstance(self.verdict, MainstayError):
            raise self.verdict
        return self.verdict


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
