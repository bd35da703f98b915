"""Token buckets in Postgres: one statement on the server's clock, whoever asks."""

from collections.abc import Sequence

from services.limits.quota import Charge, Reading, Taken
from services.storage.database import Database

# The buckets are locked in the order of their keys, so that two who want the same ones never wait for each other in a ring. A
# row that somebody else has changed while we waited is read as it is then, and so is the clock.
_TAKE = """
WITH asked AS (
    SELECT * FROM unnest($1::bytea[], $2::float8[], $3::float8[]) AS a (key, window_s, cost_s)
), locked AS MATERIALIZED (
    SELECT bucket.key, full_at FROM rate_buckets AS bucket JOIN asked USING (key) ORDER BY key FOR UPDATE OF bucket
), judged AS MATERIALIZED (
    SELECT key, window_s, cost_s,
           greatest(0, extract(epoch FROM full_at - clock_timestamp()))::float8 AS taken_s
    FROM locked JOIN asked USING (key)
), verdict AS (
    SELECT count(*) = cardinality($1) AND bool_and(taken_s + cost_s <= window_s) AS admitted FROM judged
), taken AS (
    UPDATE rate_buckets AS bucket SET full_at = clock_timestamp() + make_interval(secs => taken_s + cost_s)
    FROM judged, verdict WHERE bucket.key = judged.key AND admitted
)
SELECT key, taken_s, admitted FROM judged, verdict
"""
_FILL = """
INSERT INTO rate_buckets (key, full_at) SELECT key, clock_timestamp() FROM unnest($1::bytea[]) AS a (key) ORDER BY key
ON CONFLICT (key) DO NOTHING
"""
_SETTLE = """
INSERT INTO rate_buckets AS bucket (key, full_at)
SELECT key, now() + make_interval(secs => cost_s) FROM unnest($1::bytea[], $2::float8[]) AS a (key, cost_s) ORDER BY key
ON CONFLICT (key) DO UPDATE SET full_at = greatest(bucket.full_at, now()) + (excluded.full_at - now())
"""
# In the order of their keys, and none that somebody has locked: nobody waits for a pruner, nor a pruner for anybody.
_PRUNE = """
DELETE FROM rate_buckets WHERE key IN (
    SELECT key FROM rate_buckets WHERE full_at < now() - interval '1 hour' ORDER BY key LIMIT 10000
    FOR UPDATE SKIP LOCKED
)
"""


class RateRepository:
    """`services.limits.stores.RateStore` in Postgres. The table is not logged: a server that crashes forgets what was taken."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Take all or none. A bucket that nobody has taken from yet costs two more statements, once."""
        keys = [charge.key for charge in charges]
        asked = (keys, [charge.quota.window_s for charge in charges], [charge.cost_s for charge in charges])
        async with self._database.raw() as connection:
            rows = await connection.fetch(_TAKE, *asked)
            while len(rows) < len(charges):
                await connection.execute(_FILL, keys)
                rows = await connection.fetch(_TAKE, *asked)
        admitted: bool = rows[0]["admitted"]
        before = {row["key"]: row["taken_s"] for row in rows}
        readings = (
            Reading(charge=charge, taken_s=before[charge.key] + (charge.cost_s if admitted else 0.0))
            for charge in charges
        )
        return Taken(admitted=admitted, readings=tuple(readings))

    async def settle(self, charges: Sequence[Charge]) -> None:
        async with self._database.raw() as connection:
            await connection.execute(
                _SETTLE,
                [charge.key for charge in charges],
                [charge.units * charge.quota.unit_s for charge in charges],
            )

    async def prune(self) -> int:
        """Delete buckets that have been full for an hour, 10,000 at most, and return how many."""
        async with self._database.raw() as connection:
            return int((await connection.execute(_PRUNE)).rpartition(" ")[2])
