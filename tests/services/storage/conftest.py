"""A database with all tables, the stores in both kinds, and values to put into them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.runs.ports import ThreadStore
from services.security.keys import ApiKeyStore
from services.storage.api_keys import ApiKeyRepository
from services.storage.database import Database
from services.storage.memory import MemoryRuns, MemoryStore
from services.storage.runs import RunRepository
from services.storage.threads import ThreadRepository
from services.types import Message, Principal, Run, RunOutcome, RunStatus, Usage

ALICE = Principal(tenant_id="acme", user_id="alice")
BOB = Principal(tenant_id="acme", user_id="bob")
MALLORY = Principal(tenant_id="evil", user_id="alice")
ANSWERED = RunOutcome(
    status=RunStatus.COMPLETED,
    messages=(Message(role="assistant", content="Two years."),),
    usage=Usage(input_tokens=10, output_tokens=3, cached_tokens=2, reasoning_tokens=1, model_calls=1),
    provider="openai",
    model="small",
    finish_reason="stop",
)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """One database's repositories, and the time that passes there: `later(60.0)` makes all runs a minute older."""

    runs: RunRepository | MemoryRuns
    threads: ThreadStore
    api_keys: ApiKeyStore
    later: Callable[[float], Awaitable[None]]


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

    async def later(seconds: float) -> None:
        nonlocal passed
        passed += timedelta(seconds=seconds)

    memory = MemoryStore(now=lambda: datetime.now(UTC) + passed)
    return Stores(runs=memory.runs, threads=memory.threads, api_keys=memory.api_keys, later=later)


def in_postgres(database: Database) -> Stores:
    async def later(seconds: float) -> None:
        async with database.raw() as connection:
            await connection.execute(
                "UPDATE runs SET created_at = created_at - make_interval(secs => $1),"
                " started_at = started_at - make_interval(secs => $1)",
                seconds,
            )

    return Stores(
        runs=RunRepository(database),
        threads=ThreadRepository(database),
        api_keys=ApiKeyRepository(database),
        later=later,
    )


def a_run(
    text: str = "How long is the warranty?",
    *,
    principal: Principal = ALICE,
    thread_id: UUID | None = None,
    ephemeral: bool = False,
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
    )
