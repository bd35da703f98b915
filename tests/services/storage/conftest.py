"""A database with all tables, the stores in both kinds, and values to put into them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.events import RunEvent
from services.runs.event_codec import encode
from services.runs.log_writer import LogRow
from services.runs.ports import Leases, OwnedRuns, RunLog, ThreadStore
from services.security.audit import AuditTrail
from services.security.keys import ApiKeyStore
from services.storage.api_keys import ApiKeyRepository
from services.storage.audit import AuditRepository
from services.storage.database import Database
from services.storage.encoding import plain, progress_to_json
from services.storage.leases import LeaseRepository
from services.storage.memory import MemoryStore
from services.storage.memory_runs import MemoryRuns
from services.storage.owned_runs import OwnedRunRepository
from services.storage.run_log import RunLogRepository
from services.storage.runs import RunRepository
from services.storage.threads import ThreadRepository
from services.storage.traces import TraceRepository
from services.telemetry.span_writer import TraceStore
from services.types import Claim, Fence, Message, Principal, Progress, Run, RunOutcome, RunStatus, Submission, Usage

ALICE = Principal(tenant_id="acme", user_id="alice")
BOB = Principal(tenant_id="acme", user_id="bob")
MALLORY = Principal(tenant_id="evil", user_id="alice")
LEASE, OTHER_LEASE = UUID(int=1), UUID(int=2)
TTL_S = 6.0
ANSWERED = RunOutcome(
    status=RunStatus.COMPLETED,
    messages=(Message(role="assistant", content="Two years."),),
    usage=Usage(input_tokens=10, output_tokens=3, cached_tokens=2, reasoning_tokens=1, model_calls=1, cost_micros=7),
    provider="openai",
    model="small",
    finish_reason="stop",
)

Heard = Callable[[], Awaitable[set[str]]]
"""Returns what was sent to the agents since it was last asked."""


@dataclass(frozen=True, kw_only=True)
class Stores:
    """One database's repositories, and what only tests do to it.

    `later(60.0)` makes all that is there a minute older. `progressed` is what storing a checkpoint does to a run's row.
    `due` returns the runs whose webhook is to be sent. `listening` hears what is sent to the agents.
    """

    runs: RunRepository | MemoryRuns
    owned: OwnedRuns
    leases: Leases
    log: RunLog
    threads: ThreadStore
    api_keys: ApiKeyStore
    audit: AuditTrail
    traces: TraceStore
    later: Callable[[float], Awaitable[None]]
    progressed: Callable[[Run, Progress], Awaitable[None]]
    due: Callable[[], Awaitable[Collection[UUID]]]
    listening: Callable[[], AbstractAsyncContextManager[Heard]]

    async def claimed(self, run: Run, submission: Submission = Submission(), lease: UUID = LEASE) -> Claim:  # noqa: B008
        """Create a run and take it, for an owner that is alive."""
        await self.leases.beat(lease, TTL_S)
        await self.runs.create(run, submission)
        return await self.owned.claim(run.id, lease)

    async def answered(self, run: Run, outcome: RunOutcome = ANSWERED) -> Run:
        """Create a run and have it end at once."""
        claim = await self.claimed(run)
        await self.owned.finish(claim, outcome, [])
        return run

    async def taken_over(self, lease: UUID = OTHER_LEASE) -> list[Claim]:
        """Let all leases run out, and have another replica take what they held."""
        await self.later(TTL_S + 1)
        return await self.take_lost(lease)

    async def take_lost(self, lease: UUID = OTHER_LEASE, *, limit: int = 99, pickup_s: float = 1e6) -> list[Claim]:
        """Have a replica that is alive take what others have lost."""
        await self.leases.beat(lease, TTL_S)
        return list(await self.leases.take_over(lease, limit=limit, pickup_s=pickup_s, settle_s=0.0))

    async def take_queued(self, lease: UUID = OTHER_LEASE, *, limit: int = 99, background: bool = True) -> list[Claim]:
        """Have a replica that is alive take what is queued."""
        await self.leases.beat(lease, TTL_S)
        return list(await self.leases.take_queued(lease, limit=limit, background=background))

    async def said(self, thread_id: UUID, principal: Principal = ALICE) -> list[str]:
        """What is in a thread."""
        return [message.content for message in await self.threads.messages(principal, thread_id, limit=1000)]


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    """A small pool on a database of this test's own."""
    opened = Database.open(migrated_database_url, pool_size=4, pool_timeout_s=5.0, command_timeout_s=10.0)
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def stores(request: pytest.FixtureRequest) -> Stores:
    """The stores, once in memory and once in Postgres: whatever holds for one must hold for the other."""
    return in_memory() if request.param == "memory" else in_postgres(request.getfixturevalue("database"))


def in_memory() -> Stores:
    passed = timedelta()
    sent: set[str] = set()

    async def later(seconds: float) -> None:
        nonlocal passed
        passed += timedelta(seconds=seconds)

    memory = MemoryStore(now=lambda: datetime.now(UTC) + passed, notify=sent.add)

    async def progressed(run: Run, progress: Progress) -> None:
        memory.tables.runs[run.id].progress = progress
        memory.tables.runs[run.id].crashes = 0

    async def due() -> Collection[UUID]:
        return [run_id for run_id, row in memory.webhooks.rows.items() if row.next_at is not None]

    @asynccontextmanager
    async def listening() -> AsyncIterator[Heard]:
        async def heard() -> set[str]:
            news = set(sent)
            sent.clear()
            return news

        sent.clear()
        yield heard

    return Stores(
        runs=memory.runs,
        owned=memory.owned_runs,
        leases=memory.leases,
        log=memory.log,
        threads=memory.threads,
        api_keys=memory.api_keys,
        audit=memory.audit,
        traces=memory.traces,
        later=later,
        progressed=progressed,
        due=due,
        listening=listening,
    )


_LATER = (
    """
    UPDATE runs SET created_at = created_at - $1::interval, started_at = started_at - $1::interval,
        deadline_at = deadline_at - $1::interval, watched_at = watched_at - $1::interval
    """,
    "UPDATE leases SET beat_at = beat_at - $1::interval, expires_at = expires_at - $1::interval",
    "UPDATE idempotency_keys SET created_at = created_at - $1::interval",
)


def in_postgres(database: Database) -> Stores:
    async def later(seconds: float) -> None:
        async with database.raw() as connection:
            for statement in _LATER:
                await connection.execute(statement, timedelta(seconds=seconds))

    async def progressed(run: Run, progress: Progress) -> None:
        async with database.raw() as connection:
            statement = "UPDATE runs SET progress = $2, crashes = 0 WHERE id = $1"
            await connection.execute(statement, run.id, progress_to_json(progress))

    async def due() -> Collection[UUID]:
        async with database.raw() as connection:
            rows = await connection.fetch("SELECT run_id FROM webhooks WHERE next_at <= now()")
        return [plain(row["run_id"]) for row in rows]

    @asynccontextmanager
    async def listening() -> AsyncIterator[Heard]:
        sent: set[str] = set()

        def hear(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
            sent.add(str(payload))

        async with database.raw() as connection:

            async def heard() -> set[str]:
                await connection.fetchval("SELECT 1")  # whatever was sent before is there with its answer
                await asyncio.sleep(0)
                news = set(sent)
                sent.clear()
                return news

            await connection.add_listener("mainstay_agents", hear)
            yield heard
            await connection.remove_listener("mainstay_agents", hear)

    return Stores(
        runs=RunRepository(database),
        owned=OwnedRunRepository(database),
        leases=LeaseRepository(database),
        log=RunLogRepository(database),
        threads=ThreadRepository(database),
        api_keys=ApiKeyRepository(database),
        audit=AuditRepository(database),
        traces=TraceRepository(database),
        later=later,
        progressed=progressed,
        due=due,
        listening=listening,
    )


def a_run(
    text: str = "How long is the warranty?",
    *,
    principal: Principal = ALICE,
    thread_id: UUID | None = None,
    ephemeral: bool = False,
    background: bool = False,
    priority: int = 0,
    timeout_s: float = 60.0,
) -> Run:
    """A run that begins its thread, or continues `thread_id`."""
    return Run(
        id=uuid7(),
        thread_id=thread_id or uuid7(),
        new_thread=thread_id is None,
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        graph="assistant",
        status=RunStatus.PENDING,
        messages=(Message(role="user", content=text),),
        ephemeral=ephemeral,
        background=background,
        priority=priority,
        timeout_s=timeout_s,
    )


def a_row(fence: Fence, first_seq: int, events: Sequence[RunEvent]) -> LogRow:
    """Consecutive events as a row of the log."""
    return LogRow(fence=fence, first_seq=first_seq, seq=first_seq + len(events) - 1, body=encode(events))
