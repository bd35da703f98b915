"""What is particular to token buckets and slots in Postgres."""

import asyncio

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.errors import StoreUnavailable
from services.limits.quota import Charge, Quota
from services.limits.stores import Slots
from services.storage.database import Database, translated
from services.storage.quotas import QuotaRepository
from tests.services.limits.conftest import acquire, take

QUOTA = Quota(limit=10)
WANTED = Slots(key=b"alice", limit=8)


@pytest.mark.postgres
async def test_what_has_been_full_for_an_hour_is_pruned_and_what_somebody_takes_from_is_passed_over(
    database: Database,
) -> None:
    """Nobody waits for a pruner, nor a pruner for anybody: so they cannot wait for each other in a ring."""
    quotas = QuotaRepository(database)
    await take(quotas, [Charge(key=key, quota=QUOTA) for key in (b"a", b"b", b"c")])
    async with database.raw() as connection:
        await connection.execute("UPDATE rate_buckets SET full_at = now() - interval '2 hours' WHERE key <> 'c'")
    async with database.raw() as connection, connection.transaction():
        await connection.execute("SELECT FROM rate_buckets WHERE key = 'a' FOR UPDATE")
        assert (await quotas.prune())["rate_buckets"] == 1
    assert (await quotas.prune())["rate_buckets"] == 1
    assert (await quotas.prune())["rate_buckets"] == 0


@pytest.mark.parametrize("error", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
def test_having_to_give_way_is_not_our_bug(error: type[asyncpg.PostgresError]) -> None:
    with pytest.raises(StoreUnavailable), translated():
        raise error("deadlock detected")


@pytest.mark.postgres
async def test_rows_that_somebody_else_is_making_refuse_nobody(database: Database) -> None:
    """All that it would add are there when it comes to it, and free: so it was after a crash, which empties the table."""
    quotas = QuotaRepository(database)
    async with database.raw() as connection, connection.transaction():
        await connection.execute("INSERT INTO slots (key, number) SELECT $1, generate_series(1, 8)", WANTED.key)
        acquiring = asyncio.create_task(acquire(quotas, uuid7(), [WANTED]))
        async with asyncio.timeout(10):
            while True:
                if await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    break
                await asyncio.sleep(0.01)
    assert await acquiring is None


@pytest.mark.postgres
async def test_what_nobody_has_held_for_an_hour_is_pruned(database: Database) -> None:
    """Also rows that were never held; what is held, and what was an hour ago, stays."""
    quotas, other = QuotaRepository(database), Slots(key=b"bob", limit=8)
    for wanted in (WANTED, other):
        holder = uuid7()
        await acquire(quotas, holder, [wanted])
        await quotas.release([holder])
    async with database.raw() as connection:
        await connection.execute("UPDATE slots SET held_until = held_until - interval '2 hours' WHERE key = 'alice'")
    assert (await quotas.prune())["slots"] == 8
    async with database.raw() as connection:
        assert await connection.fetchval("SELECT count(*) FROM slots") == 8


@pytest.mark.postgres
async def test_a_slot_that_somebody_is_taking_is_passed_over(database: Database) -> None:
    """Nobody waits for anybody."""
    quotas = QuotaRepository(database)
    await acquire(quotas, uuid7(), [WANTED])
    async with database.raw() as connection, connection.transaction():
        await connection.execute("SELECT FROM slots WHERE number = 2 FOR UPDATE")
        assert await acquire(quotas, uuid7(), [WANTED]) is None
    async with database.raw() as connection:
        held = await connection.fetch("SELECT number FROM slots WHERE held_until > now() ORDER BY number")
    assert [row["number"] for row in held] == [1, 3]
