"""What is particular to slots in Postgres."""

import asyncio

import pytest
from uuid_utils.compat import uuid7

from services.limits.stores import Slots
from services.storage.database import Database
from services.storage.slots import SlotRepository

pytestmark = pytest.mark.postgres

WANTED = Slots(key=b"alice", limit=8)


async def test_rows_that_somebody_else_is_making_refuse_nobody(database: Database) -> None:
    """All that it would add are there when it comes to it, and free: so it was after a crash, which empties the table."""
    slots = SlotRepository(database)
    async with database.raw() as connection, connection.transaction():
        await connection.execute("INSERT INTO slots (key, number) SELECT $1, generate_series(1, 8)", WANTED.key)
        acquiring = asyncio.create_task(slots.acquire(uuid7(), [WANTED], 15.0))
        async with asyncio.timeout(10):
            while True:
                if await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    break
                await asyncio.sleep(0.01)
    assert await acquiring is None


async def test_what_nobody_has_held_for_an_hour_is_pruned(database: Database) -> None:
    """Also rows that were never held; what is held, and what was an hour ago, stays."""
    slots, other = SlotRepository(database), Slots(key=b"bob", limit=8)
    for wanted in (WANTED, other):
        holder = uuid7()
        await slots.acquire(holder, [wanted], 15.0)
        await slots.release([holder])
    async with database.raw() as connection:
        await connection.execute("UPDATE slots SET held_until = held_until - interval '2 hours' WHERE key = 'alice'")
    assert await slots.prune() == 8
    async with database.raw() as connection:
        assert await connection.fetchval("SELECT count(*) FROM slots") == 8


async def test_a_slot_that_somebody_is_taking_is_passed_over(database: Database) -> None:
    """Nobody waits for anybody."""
    slots = SlotRepository(database)
    await slots.acquire(uuid7(), [WANTED], 15.0)
    async with database.raw() as connection, connection.transaction():
        await connection.execute("SELECT FROM slots WHERE number = 2 FOR UPDATE")
        assert await slots.acquire(uuid7(), [WANTED], 15.0) is None
    async with database.raw() as connection:
        held = await connection.fetch("SELECT number FROM slots WHERE held_until > now() ORDER BY number")
    assert [row["number"] for row in held] == [1, 3]
