"""The pool: bounded, fail-fast, and whole again after whatever happens to a connection or to the server."""

import asyncio
import os
import signal
import time

import asyncpg
import pytest
from sqlalchemy import exc as sqlalchemy_errors
from sqlalchemy import text

from services.errors import StoreUnavailable
from services.storage.database import Database
from services.types import RunStatus
from tests.services.storage.conftest import ALICE, ANSWERED, a_run, in_postgres

pytestmark = pytest.mark.postgres


async def execute(database: Database, way: str, statement: str) -> None:
    """Execute a statement through `raw` or through `transaction`."""
    if way == "raw":
        async with database.raw() as connection:
            await connection.execute(statement)
    else:
        async with database.transaction() as core:
            await core.execute(text(statement))


async def test_raw_and_transaction_share_one_pool(migrated_database_url: str) -> None:
    """With one connection lent to either, the other waits, and is told so after the pool timeout."""
    database = Database.open(migrated_database_url, pool_size=1, pool_timeout_s=0.05)
    async with database.raw():
        with pytest.raises(StoreUnavailable):
            async with database.transaction():
                pass
    async with database.transaction():
        with pytest.raises(StoreUnavailable) as caught:
            await database.ping()
    assert caught.value.retry_after_s == 1.0
    await database.ping()
    await database.close()


async def test_the_application_name_is_seen_by_the_server(migrated_database_url: str) -> None:
    """An operator finds each deployment's connections in pg_stat_activity."""
    database = Database.open(migrated_database_url, application_name="mainstay-test")
    async with database.raw() as connection:
        assert await connection.fetchval("SHOW application_name") == "mainstay-test"
    await database.close()


async def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    """What raises inside is rolled back, and its own error comes out."""

    async def insert_and_fail() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO users (tenant_id, id) VALUES ('acme', 'alice')"))
            raise LookupError

    with pytest.raises(LookupError):
        await insert_and_fail()
    async with database.raw() as raw:
        assert await raw.fetchval("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize("way", ["raw", "transaction"])
async def test_a_slow_statement_ends_at_the_command_timeout(migrated_database_url: str, way: str) -> None:
    """It is unavailable, in time, and the next caller gets a connection that works."""
    database = Database.open(migrated_database_url, pool_size=1, command_timeout_s=0.1)
    await database.ping()
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await execute(database, way, "SELECT pg_sleep(30)")
    assert time.monotonic() - started < 2.0
    await database.ping()
    await database.close()


@pytest.mark.parametrize("way", ["raw", "transaction"])
async def test_a_cancelled_caller_leaves_no_trace(migrated_database_url: str, way: str) -> None:
    """A task that is cancelled in a statement gives its place back, and no transaction stays open."""
    database = Database.open(migrated_database_url, pool_size=1, pool_timeout_s=5.0)
    running = asyncio.Event()

    async def slow() -> None:
        if way == "raw":
            async with database.raw() as connection, connection.transaction():
                running.set()
                await connection.execute("SELECT pg_sleep(30)")
        else:
            async with database.transaction() as core:
                running.set()
                await core.execute(text("SELECT pg_sleep(30)"))

    task = asyncio.create_task(slow())
    await running.wait()
    await asyncio.wait([task], timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.raw() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()


@pytest.mark.chaos
@pytest.mark.parametrize("way", ["raw", "transaction"])
async def test_a_connection_that_hangs_is_not_used_again(migrated_database_url: str, way: str) -> None:
    """The server's side of a connection stops answering: the next caller gets another connection, not the same silence."""
    database = Database.open(migrated_database_url, pool_size=1, command_timeout_s=0.3)
    async with database.raw() as connection:
        pid = connection.get_server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await execute(database, way, "SELECT 1")
        await execute(database, way, "SELECT 1")
    finally:
        os.kill(pid, signal.SIGCONT)
    await database.close()


async def test_a_failed_statement_keeps_its_connection(migrated_database_url: str) -> None:
    """A bug in SQL passes as itself and costs no reconnect."""
    database = Database.open(migrated_database_url, pool_size=1)
    async with database.raw() as connection:
        pid = connection.get_server_pid()
    with pytest.raises(asyncpg.UndefinedTableError):
        await execute(database, "raw", "SELECT * FROM nowhere")
    with pytest.raises(sqlalchemy_errors.ProgrammingError):
        await execute(database, "transaction", "SELECT * FROM nowhere")
    async with database.raw() as connection:
        assert connection.get_server_pid() == pid
    await database.close()


async def test_the_values_of_a_statement_are_not_in_its_error(database: Database) -> None:
    """SQLAlchemy's errors do not repeat parameters, which may be a key's digest or a client's text."""
    with pytest.raises(sqlalchemy_errors.DBAPIError) as caught:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1 / (:secret - 4242)"), {"secret": 4242})
    assert "4242}" not in str(caught.value)  # as a parameter; the statement itself holds the number
    assert "parameters hidden" in str(caught.value)


@pytest.mark.parametrize("way", ["raw", "transaction"])
async def test_a_connection_that_closed_in_the_pool_is_replaced(migrated_database_url: str, way: str) -> None:
    """An administrator ends every idle connection; the next caller notices nothing."""
    database = Database.open(migrated_database_url, pool_size=2)
    async with database.raw(), database.raw():
        pass
    killer = await asyncpg.connect(migrated_database_url)
    ended = await killer.fetch(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await killer.close()
    assert len(ended) == 2
    for _ in range(3):
        await execute(database, way, "SELECT 1")
    await database.close()


@pytest.mark.parametrize("way", ["raw", "transaction"])
async def test_a_connection_that_dies_in_use_is_unavailable(migrated_database_url: str, way: str) -> None:
    """The server ends the connection during a statement: unavailable now, fine for the next caller."""
    database = Database.open(migrated_database_url, pool_size=1)
    suicide = "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)"
    with pytest.raises(StoreUnavailable):
        await execute(database, way, suicide)
    await database.ping()
    await database.close()


async def test_a_changed_table_does_not_break_prepared_statements(
    database: Database, migrated_database_url: str
) -> None:
    """A migration under a running replica alters a table: the statements it had prepared go on working."""
    stores = in_postgres(database)
    runs = stores.runs
    await stores.claimed(a_run())
    other = await asyncpg.connect(migrated_database_url)
    await other.execute("ALTER TABLE runs ADD COLUMN later text")
    await other.close()
    after = a_run()
    assert (await stores.claimed(after)).run.status is RunStatus.RUNNING
    await runs.finish(after, ANSWERED)
    assert (await runs.get(ALICE, after.id)).status is RunStatus.COMPLETED
