"""Slots in Postgres: a row each, which is held until a time. No two can hold the same row, so no count can be passed."""

from collections.abc import Collection, Sequence
from uuid import UUID

from services.limits.stores import Slots
from services.storage.database import Database
from services.storage.encoding import plain

# What somebody else is taking at this moment is passed over: nobody waits for anybody. That no row is held twice keeps the
# limit; the count is for one that was lowered, while rows beyond it are still held.
_ACQUIRE = """
WITH wanted AS (
    SELECT * FROM unnest($2::bytea[], $3::int[]) AS w (key, most)
), free AS MATERIALIZED (
    SELECT wanted.key, slot.number FROM wanted CROSS JOIN LATERAL (
        SELECT number FROM slots WHERE key = wanted.key AND number <= most AND held_until <= now()
        ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS slot
    WHERE (SELECT count(*) FROM slots WHERE key = wanted.key AND held_until > now()) < most
), held AS (
    UPDATE slots SET holder = $1, held_until = now() + make_interval(secs => $4)
    FROM free WHERE slots.key = free.key AND slots.number = free.number
      AND (SELECT count(*) FROM free) = cardinality($2)
)
SELECT key FROM free
"""
# Rows are made as they are first needed, some at a time: a tenant that may have a thousand runs at once, and has not, has few.
_ADD = """
WITH rows AS (
    SELECT count(*)::int AS count FROM slots WHERE key = $1 AND number <= $2
), added AS (
    INSERT INTO slots (key, number)
    SELECT $1, n FROM rows, generate_series(1, least($2::int, 8 + 2 * count)) AS n ORDER BY n
    ON CONFLICT (key, number) DO NOTHING
)
SELECT count FROM rows
"""
_RENEW = """
UPDATE slots SET held_until = now() + make_interval(secs => $2) WHERE holder = ANY($1::uuid[]) AND held_until > now()
RETURNING holder
"""
_RELEASE = "UPDATE slots SET held_until = now() WHERE holder = ANY($1::uuid[]) AND held_until > now()"
_PRUNE = """
DELETE FROM slots WHERE (key, number) IN (
    SELECT key, number FROM slots WHERE held_until < now() - interval '1 hour'
    ORDER BY key, number LIMIT 10000 FOR UPDATE SKIP LOCKED
)
"""


class SlotRepository:
    """`services.limits.stores.SlotStore` in Postgres. The table is not logged: a server that crashes forgets who held what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def acquire(self, holder: UUID, slots: Sequence[Slots], ttl_s: float) -> Slots | None:
        asked = (holder, [wanted.key for wanted in slots], [wanted.limit for wanted in slots], ttl_s)
        async with self._database.raw() as connection:
            while True:
                found = {row["key"] for row in await connection.fetch(_ACQUIRE, *asked)}
                lacking = [wanted for wanted in slots if wanted.key not in found]
                if not lacking:
                    return None
                for wanted in lacking:
                    if await connection.fetchval(_ADD, wanted.key, wanted.limit) >= wanted.limit:
                        return wanted  # there are as many as there may be, and none was free

    async def renew(self, holders: Collection[UUID], ttl_s: float) -> Collection[UUID]:
        async with self._database.raw() as connection:
            rows = await connection.fetch(_RENEW, list(holders), ttl_s)
        return {plain(row["holder"]) for row in rows}

    async def release(self, holders: Collection[UUID]) -> None:
        async with self._database.raw() as connection:
            await connection.execute(_RELEASE, list(holders))

    async def prune(self) -> int:
        """Delete slots that nobody has held for an hour, 10,000 at most, and return how many."""
        async with self._database.raw() as connection:
            return int((await connection.execute(_PRUNE)).rpartition(" ")[2])
