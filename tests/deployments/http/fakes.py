"""What the HTTP tests put in the place of Postgres, the agent replicas, the guard and the keys."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import uvicorn

from configs.settings import HttpSettings
from deployments.http.app import HttpServices, create_app
from services.errors import MainstayError, NotFound, ThreadBusy, Unauthenticated
from services.runs.service import RunService
from services.types import (
    ALLOWED,
    Action,
    EventBatch,
    Message,
    Principal,
    Run,
    RunCompleted,
    RunEvent,
    RunOutcome,
    RunStarted,
    RunStatus,
    RunTicket,
    Stage,
    TextDelta,
    Thread,
    Usage,
    Verdict,
)
from tests.services.runs.manual_time import ManualTime

KEY = "mk-test-key"
OTHER_KEY = "mk-other-tenants-key"
AUTH = {"authorization": f"Bearer {KEY}"}
NOW = 1_795_000_000.0
COMPLETED = RunCompleted(finish_reason="stop", usage=Usage(input_tokens=7, output_tokens=3), duration_s=0.5)
HELLO: tuple[RunEvent, ...] = (TextDelta(text="Hel"), TextDelta(text="lo"), COMPLETED)

Step = RunEvent | asyncio.Event | MainstayError


class FixedAuthenticator:
    """Knows two keys, of two tenants."""

    def __init__(self) -> None:
        self.principals = {
            KEY: Principal(tenant_id="acme", user_id="ada"),
            OTHER_KEY: Principal(tenant_id="other", user_id="bob"),
        }

    async def authenticate(self, presented: str) -> Principal:
        if presented not in self.principals:
            raise Unauthenticated("The API key is not known.", param="authorization")
        return self.principals[presented]


class WordGuard:
    """Blocks any text with one word in it."""

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        if any("forbidden" in text for text in texts):
            return Verdict(action=Action.BLOCK, rule="word", message="That word is forbidden.")
        return ALLOWED


@dataclass
class InMemoryStore:
    """Runs and threads in dictionaries, under the contracts of services.runs.ports."""

    runs: dict[UUID, Run] = field(default_factory=dict)
    rows: dict[UUID, Thread] = field(default_factory=dict)
    history: dict[UUID, list[Message]] = field(default_factory=dict)
    outcomes: dict[UUID, RunOutcome] = field(default_factory=dict)

    async def create(self, run: Run) -> None:
        if run.new_thread:
            stamp = datetime.fromtimestamp(NOW + len(self.rows), UTC)
            thread = Thread(
                id=run.thread_id, tenant_id=run.tenant_id, user_id=run.user_id, created_at=stamp, updated_at=stamp
            )
            self.rows[run.thread_id] = thread
        thread = self._mine(run.tenant_id, run.thread_id)
        if any(r.thread_id == thread.id and r.status is RunStatus.PENDING for r in self.runs.values()):
            raise ThreadBusy("The thread has a run. Wait for its end.", param="thread_id")
        self.runs[run.id] = run
        self.history.setdefault(run.thread_id, []).extend(run.messages)

    async def start(self, run_id: UUID) -> Run:
        return self.runs[run_id]

    async def finish(self, run: Run, outcome: RunOutcome) -> RunStatus:
        first = self.outcomes.setdefault(run.id, outcome)
        if first is outcome:
            unfinished = outcome.status is not RunStatus.COMPLETED
            self.history[run.thread_id] += [replace(said, incomplete=unfinished) for said in outcome.messages]
        self.runs[run.id] = replace(run, status=first.status, failure=first.failure, usage=first.usage)
        return first.status

    async def get_run(self, principal: Principal, run_id: UUID) -> Run:
        run = self.runs.get(run_id)
        if run is None or run.tenant_id != principal.tenant_id:
            raise NotFound("There is no such run.", param="run_id")
        return run

    async def get(self, principal: Principal, thread_id: UUID) -> Thread:
        return self._mine(principal.tenant_id, thread_id)

    async def list(self, principal: Principal, *, limit: int, before: UUID | None = None) -> Sequence[Thread]:
        ephemeral = {run.thread_id for run in self.runs.values() if run.ephemeral}
        mine = [t for t in self.rows.values() if t.tenant_id == principal.tenant_id and t.id not in ephemeral]
        mine.sort(key=lambda thread: thread.created_at, reverse=True)
        ids = [thread.id for thread in mine]
        return mine[ids.index(before) + 1 if before else 0 :][:limit]

    async def messages(self, principal: Principal, thread_id: UUID, *, limit: int) -> Sequence[Message]:
        self._mine(principal.tenant_id, thread_id)
        return self.history[thread_id][-limit:]

    async def delete(self, principal: Principal, thread_id: UUID) -> None:
        self._mine(principal.tenant_id, thread_id)
        if any(r.thread_id == thread_id and r.status is RunStatus.PENDING for r in self.runs.values()):
            raise ThreadBusy("The thread has a run. Wait for its end.", param="thread_id")
        del self.rows[thread_id]

    def _mine(self, tenant_id: str, thread_id: UUID) -> Thread:
        thread = self.rows.get(thread_id)
        if thread is None or thread.tenant_id != tenant_id:
            raise NotFound("There is no such thread.", param="thread_id")
        return thread


class RunsOnly:
    """The store seen as a RunStore, whose `get` is of runs."""

    def __init__(self, store: InMemoryStore) -> None:
        self.create, self.start, self.finish, self.get = store.create, store.start, store.finish, store.get_run


class ScriptedAgent:
    """Plays steps, one batch each: an event is sent, an asyncio.Event waited for, an error raised. RunStarted comes first."""

    def __init__(self, store: InMemoryStore, steps: Sequence[Step] = HELLO) -> None:
        self.steps = steps
        self.silent_start = False
        self.executing = asyncio.Event()
        self.waiting = asyncio.Event()
        self.tickets: list[RunTicket] = []
        self.closed = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.cancels: list[tuple[UUID, str]] = []
        self.sent = 0
        self._store = store

    async def execute(self, ticket: RunTicket) -> AsyncIterator[EventBatch]:
        run = self._store.runs[ticket.run_id]
        first = RunStarted(run_id=run.id, thread_id=run.thread_id, graph=run.graph)
        steps: Sequence[Step] = self.steps if self.silent_start else (first, *self.steps)
        seq = 0
        self.tickets.append(ticket)
        self.executing.set()
        try:
            for step in steps:
                if isinstance(step, asyncio.Event):
                    self.waiting.set()
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    seq += 1
                    if isinstance(step, RunCompleted):
                        self._store.runs[run.id] = replace(run, status=RunStatus.COMPLETED)
                    yield EventBatch(attempt=1, first_seq=seq, events=(step,))
                    self.sent += 1
                    await asyncio.sleep(0)  # as a stream from another process would
        finally:
            self.closed.set()

    async def cancel(self, run_id: UUID, reason: str) -> None:
        self.cancels.append((run_id, reason))
        self.cancelled.set()


@dataclass(kw_only=True)
class Rig:
    """An application over fakes, and the fakes. A run's time passes by hand."""

    settings: HttpSettings = field(default_factory=HttpSettings)
    max_run_s: float = 60.0
    time: ManualTime = field(default_factory=ManualTime)
    checks: Mapping[str, bool] = field(default_factory=lambda: {"database": True, "agent": True})

    def __post_init__(self) -> None:
        self.store = InMemoryStore()
        self.agent = ScriptedAgent(self.store)
        self.runs = RunService(
            agent=self.agent,
            runs=RunsOnly(self.store),
            guard=WordGuard(),
            graphs=("react", "planner"),
            max_run_s=self.max_run_s,
            new_id=uuid4,
            clock=self.time,
            call_later=self.time.call_later,
        )
        self.app = create_app(self.services(), self.settings)

    def services(self) -> HttpServices:
        return HttpServices(
            runs=self.runs,
            run_store=RunsOnly(self.store),
            threads=self.store,
            authenticator=FixedAuthenticator(),
            graphs={"react": "Model and tools until done.", "planner": "Plans first."},
            default_graph="react",
            readiness=self._readiness,
            breakers=self._breakers,
            clock=lambda: NOW,
        )

    async def _breakers(self) -> Mapping[str, Mapping[str, int]]:
        return {"openai": {"closed": 2, "open": 1}}

    async def _readiness(self) -> Mapping[str, bool]:
        return self.checks

    def client(self, headers: Mapping[str, str] = AUTH) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://mainstay", headers=headers)


class _Server(uvicorn.Server):
    """A uvicorn that says when it is up, and leaves the process's signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        self.up.set()

    def capture_signals(self) -> AbstractContextManager[None]:
        return nullcontext()


@asynccontextmanager
async def serving(app: Callable[..., Awaitable[None]]) -> AsyncIterator[int]:
    """Serve `app` by uvicorn on a free port of the loopback, and yield the port."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none")
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await server.up.wait()
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
