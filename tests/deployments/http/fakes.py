"""What the HTTP tests put in the place of Postgres, the agent replicas, the guard and the keys."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from uuid import UUID, uuid4

import httpx
import uvicorn
from uuid_utils.compat import uuid7

from configs.http import HttpSettings
from deployments.http.app import HttpServices, create_app
from services.errors import InvalidRequest
from services.feedback import Feedback, Rating
from services.guard import ALLOWED, Action, Stage, Verdict
from services.limits.admission import BudgetGate, RunAdmission
from services.limits.budgets_in_memory import MemoryBudgets
from services.limits.in_memory import MemoryQuotas
from services.limits.limiter import Limiter, LimiterPolicy
from services.limits.plans import Plans
from services.runs.following import FollowPolicy, LogFollower
from services.runs.ports import PLAIN, Created
from services.runs.service import RunService
from services.runs.traces import RunTraces
from services.samples import MeansWanted, Score, ScoreMean
from services.security.key_keeping import KeyKeeping
from services.security.permissions import GRANTS, Role
from services.security.refusals import refusal
from services.storage.memories_in_memory import InMemoryMemories
from services.storage.memory import MemoryStore
from services.storage.memory_runs import MemoryRuns
from services.storage.memory_tables import RunRow
from services.telemetry.metrics import UNMEASURED
from services.telemetry.tracing import NOT_TRACING, Tracer
from services.types import CancelAction, Principal, Run, RunStatus, Submission
from tests.deployments.http.scripted_agent import ScriptedAgent
from tests.services.runs.ingress_world import hurried
from tests.services.runs.manual_time import ManualTime
from tests.services.security.records import Witness

KEY = "mk-test-key"
COLLEAGUES_KEY = "mk-another-user-of-the-same-tenant"
OTHER_KEY = "mk-other-tenants-key"
ADMIN_KEY = "mk-administrator-of-the-first-tenant"
AUTH = {"authorization": f"Bearer {KEY}"}
NOW = 1_795_000_000.0
PEPPER = "pepper-for-tests-only"


class FixedAuthenticator:
    """Knows four keys, of two tenants: three of users, and one of an administrator."""

    def __init__(self) -> None:
        may, everything = GRANTS[Role.USER], GRANTS[Role.ADMIN]
        self.principals = {
            KEY: Principal(tenant_id="acme", user_id="ada", permissions=may),
            COLLEAGUES_KEY: Principal(tenant_id="acme", user_id="eve", permissions=may),
            OTHER_KEY: Principal(tenant_id="other", user_id="bob", permissions=may),
            ADMIN_KEY: Principal(tenant_id="acme", user_id="root", permissions=everything),
        }

    async def authenticate(self, presented: str) -> Principal:
        if presented not in self.principals:
            raise refusal()
        return self.principals[presented]


class WordGuard:
    """Blocks any text with one word in it."""

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict:
        if any("forbidden" in text for text in texts):
            return Verdict(action=Action.BLOCK, rule="word", message="That word is forbidden.")
        return ALLOWED


class ObservedRuns(MemoryRuns):
    """Runs in memory; `cancels` is what was to be stopped, and why, `queued` says that a run waits for its turn."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store.tables)
        self.cancelled = asyncio.Event()
        self.queued = asyncio.Event()
        self.cancels: list[tuple[UUID, CancelAction, str]] = []

    async def create(self, run: Run, submission: Submission = PLAIN) -> Created:
        created = await super().create(run, submission)
        if created.status is RunStatus.QUEUED:
            self.queued.set()
        return created

    async def cancel(self, run_id: UUID, action: CancelAction, reason: str) -> None:
        await super().cancel(run_id, action, reason)
        self.cancels.append((run_id, action, reason))
        self.cancelled.set()


class MemoryFeedback:
    """Feedback on the runs of a store, in a dict."""

    def __init__(self, runs: MemoryRuns) -> None:
        self._runs = runs
        self._given: dict[UUID, Feedback] = {}

    async def put(self, principal: Principal, run_id: UUID, rating: Rating, comment: str | None) -> Feedback:
        await self._runs.get(principal, run_id)
        at = datetime.fromtimestamp(NOW, UTC)
        self._given[run_id] = Feedback(
            run_id=run_id,
            rating=rating,
            comment=comment,
            created_at=self._given[run_id].created_at if run_id in self._given else at,
            updated_at=at,
        )
        return self._given[run_id]

    async def of_run(self, principal: Principal, run_id: UUID) -> Feedback | None:
        await self._runs.get(principal, run_id)
        return self._given.get(run_id)


class FixedScores:
    """What judges made of the runs of a store, and means by tenant; `wanted` is what was asked for."""

    def __init__(self, runs: MemoryRuns) -> None:
        self._runs = runs
        self.scores: list[Score] = []
        self.means_of: dict[str, list[ScoreMean]] = {}
        self.wanted: list[MeansWanted] = []

    async def means(self, tenant_id: str, wanted: MeansWanted) -> Sequence[ScoreMean]:
        self.wanted.append(wanted)
        return self.means_of.get(tenant_id, [])

    async def of_run(self, principal: Principal, run_id: UUID) -> Sequence[Score]:
        await self._runs.get(principal, run_id)
        return [score for score in self.scores if score.run_id == run_id]


def check_webhook(url: str | None) -> None:
    """Nothing is sent but by HTTPS."""
    if url is not None and not url.startswith("https://"):
        raise InvalidRequest("A webhook's URL must begin with https://.", param="webhook_url")


@dataclass(kw_only=True)
class Rig:
    """An application over fakes, and the fakes. A run's time passes by hand."""

    settings: HttpSettings = field(default_factory=HttpSettings)
    max_run_s: float = 60.0
    time: ManualTime = field(default_factory=ManualTime)
    checks: Mapping[str, bool] = field(default_factory=lambda: {"database": True, "agent": True})
    plans: Plans = field(default_factory=Plans)
    tracer: Tracer = NOT_TRACING
    other: "Rig | None" = None
    """Another ingress replica, with which this one shares the store."""

    def __post_init__(self) -> None:
        self.store: MemoryStore = self.other.store if self.other else self._store()
        self.authenticator = FixedAuthenticator()
        self.watch = Witness()
        self.memories = InMemoryMemories()
        self.run_store = ObservedRuns(self.store)
        self.feedback = MemoryFeedback(self.run_store)
        self.scores = FixedScores(self.run_store)
        self.agent = ScriptedAgent(self.store)
        self.limiter = Limiter(
            store=MemoryQuotas(self.time),
            plans=self.plans,
            policy=LimiterPolicy(),
            clock=self.time,
            meter=UNMEASURED,
        )
        self.budgets = MemoryBudgets(lambda: datetime.fromtimestamp(NOW, UTC))
        self.runs = RunService(
            agent=self.agent,
            runs=self.run_store,
            log=LogFollower(self.store.log, FollowPolicy(), clock=self.time, call_later=hurried),
            guard=WordGuard(),
            graphs=("react", "planner"),
            max_run_s=self.max_run_s,
            new_id=uuid4,
            admission=RunAdmission(self.limiter, BudgetGate(self.budgets, self.time)),
            clock=self.time,
            call_later=self.time.call_later,
        )
        self.app = create_app(self.services(), self.settings)

    def _store(self) -> MemoryStore:
        moments = count()
        return MemoryStore(
            now=lambda: datetime.fromtimestamp(NOW + next(moments) / 1000, UTC),
            notify=lambda news: self.agent.notified(news),
        )

    def services(self) -> HttpServices:
        return HttpServices(
            runs=self.runs,
            run_store=self.run_store,
            threads=self.store.threads,
            memories=self.memories,
            feedback=self.feedback,
            scores=self.scores,
            means=self.scores,
            keys=KeyKeeping(
                self.store.api_keys, PEPPER, self.watch, new_id=uuid7, now=lambda: datetime.fromtimestamp(NOW, UTC)
            ),
            audit=self.store.audit,
            authenticator=self.authenticator,
            limiter=self.limiter,
            budgets=self.budgets,
            currency="USD",
            watch=self.watch,
            graphs={"react": "Model and tools until done.", "planner": "Plans first."},
            default_graph="react",
            readiness=self._readiness,
            breakers=self._breakers,
            check_webhook=check_webhook,
            traces=RunTraces(
                runs=self.run_store, log=self.store.log, traces=self.store.traces, scores=self.scores.of_run
            ),
            tracer=self.tracer,
            clock=lambda: NOW,
        )

    @property
    def all_runs(self) -> list[Run]:
        """In the order of their creation."""
        return [row.run for row in self.store.tables.runs.values()]

    def row(self, run_id: str) -> RunRow:
        return self.store.tables.runs[UUID(run_id)]

    @property
    def cancels(self) -> list[str]:
        """Why runs were to be stopped."""
        return [reason for _, _, reason in self.run_store.cancels]

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

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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
