"""Token buckets and slots in Postgres: one statement on the server's clock, whoever asks.

A bucket is when it will be full again. A slot is a row that is held until a time: no two can hold the same row, so no count can
be passed. What a run needs of both is asked at once: it is asked before every run, and one that is refused its rate, as in a
flood, has held no slot that would have to be released. The tables are not logged: a server that crashes forgets what was taken.
"""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from services.limits.quota import Charge, Reading, Taken
from services.limits.stores import NOBODY, SLOT_TTL_S, Admitted, Slots
from services.storage.database import Database
from services.storage.encoding import plain

# A slot that somebody else is taking at this moment is passed over: nobody waits for anybody. That no row is held twice keeps
# the limit; the count is for one that was lowered, while rows beyond it are still held.
# Buckets are locked in the order of their keys, so that two who want the same ones never wait for each other in a ring. A row
# that somebody else has changed while we waited is read as it is then, and so is the clock.
_ADMIT = """
WITH wanted AS (
    SELECT * FROM unnest($2::bytea[], $3::int[]) AS w (key, most)
), free AS MATERIALIZED (
    SELECT wanted.key, slot.number FROM wanted CROSS JOIN LATERAL (
        SELECT number FROM slots WHERE key = wanted.key AND number <= most AND held_until <= now()
        ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS slot
    WHERE (SELECT count(*) FROM slots WHERE key = wanted.key AND held_until > now()) < most
), asked AS (
    SELECT * FROM unnest($5::bytea[], $6::float8[], $7::float8[]) AS a (key, size_s, cost_s)
    WHERE (SELECT count(*) FROM free) = cardinality($2)
), locked AS MATERIALIZED (
    SELECT bucket.key, full_at FROM rate_buckets AS bucket JOIN asked USING (key) ORDER BY key FOR UPDATE OF bucket
), judged AS MATERIALIZED (
    SELECT key, size_s, cost_s,
           greatest(0, extract(epoch FROM full_at - clock_timestamp()))::float8 AS taken_s
    FROM locked JOIN asked USING (key)
), verdict AS MATERIALIZED (
    SELECT count(*) = cardinality($5) AND (SELECT count(*) FROM free) = cardinality($2)
           AND coalesce(bool_and(taken_s + cost_s <= size_s), true) AS admitted
    FROM judged
), held AS (
    UPDATE slots SET holder = $1, held_until = now() + make_interval(secs => $4)
    FROM free, verdict WHERE slots.key = free.key AND slots.number = free.number AND admitted
), taken AS (
    UPDATE rate_buckets AS bucket SET full_at = clock_timestamp() + make_interval(secs => taken_s + cost_s)
    FROM judged, verdict WHERE bucket.key = judged.key AND admitted
)
SELECT admitted, ARRAY(SELECT key FROM free) AS free,
       CASE WHEN (SELECT count(*) FROM free) < cardinality($2) THEN
           ARRAY(SELECT key FROM wanted
                 WHERE (SELECT count(*) FROM slots WHERE slots.key = wanted.key AND number <= most) >= most)
       END AS complete,
       ARRAY(SELECT key FROM judged ORDER BY key) AS keys, ARRAY(SELECT taken_s FROM judged ORDER BY key) AS taken_s
FROM verdict
"""
# Rows are made as they are first needed, some at a time: a tenant that may have a thousand runs at once, and has not, has few.
_ADD_SLOTS = """
INSERT INTO slots (key, number)
SELECT $1, n FROM (SELECT count(*)::int FROM slots WHERE key = $1 AND number <= $2) AS rows (count),
    generate_series(1, least($2::int, 8 + 2 * count)) AS n ORDER BY n
ON CONFLICT (key, number) DO NOTHING
"""
_ADD_BUCKETS = """
INSERT INTO rate_buckets (key, full_at) SELECT key, clock_timestamp() FROM unnest($1::bytea[]) AS a (key) ORDER BY key
ON CONFLICT (key) DO NOTHING
"""
_SETTLE = """
INSERT INTO rate_buckets AS bucket (key, full_at)
SELECT key, now() + make_interval(secs => cost_s) FROM unnest($1::bytea[], $2::float8[]) AS a (key, cost_s) ORDER BY key
ON CONFLICT (key) DO UPDATE SET full_at = greatest(bucket.full_at, now()) + (excluded.full_at - now())
"""
_RENEW = """
UPDATE slots SET held_until = now() + make_interval(secs => $2) WHERE holder = ANY($1::uuid[]) AND held_until > now()
RETURNING holder
"""
_RELEASE = "UPDATE slots SET held_until = now() WHERE holder = ANY($1::uuid[]) AND held_until > now()"
# In the order of their keys, and none that somebody has locked: nobody waits for a pruner, nor a pruner for anybody.
_PRUNE_BUCKETS = """
DELETE FROM rate_buckets WHERE key IN (
    SELECT key FROM rate_buckets WHERE full_at < now() - interval '1 hour' ORDER BY key LIMIT 10000
    FOR UPDATE SKIP LOCKED
)
"""
_PRUNE_SLOTS = """
DELETE FROM slots WHERE (key, number) IN (
    SELECT key, number FROM slots WHERE held_until < now() - interval '1 hour'
    ORDER BY key, number LIMIT 10000 FOR UPDATE SKIP LOCKED
)
"""


class QuotaRepository:
    """`services.limits.stores.QuotaStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(
        self,
        *,
        charges: Sequence[Charge] = (),
        slots: Sequence[Slots] = (),
        holder: UUID = NOBODY,
        ttl_s: float = SLOT_TTL_S,
    ) -> Admitted:
        """A bucket, or a slot, that nobody has used yet costs two more statements, once."""
        keys = [charge.key for charge in charges]
        asked = (
            holder,
            [wanted.key for wanted in slots],
            [wanted.limit for wanted in slots],
            ttl_s,
            keys,
            [charge.quota.size_s for charge in charges],
            [charge.cost_s for charge in charges],
        )
        async with self._database.raw() as connection:
            while True:
                [row] = await connection.fetch(_ADMIT, *asked)
                for lacking in [wanted for wanted in slots if wanted.key not in row["free"]]:
                    # By what was there when none was free: many who come at once make rows for one another.
                    if lacking.key in row["complete"]:
                        return Admitted(full=lacking)
                    await connection.execute(_ADD_SLOTS, lacking.key, lacking.limit)
                if len(row["free"]) < len(slots):
                    continue
                if len(row["keys"]) == len(charges):
                    before = dict(zip(row["keys"], row["taken_s"], strict=True))
                    return Admitted(taken=_taken(charges, before, admitted=row["admitted"]))
                await connection.execute(_ADD_BUCKETS, keys)

    async def settle(self, charges: Sequence[Charge]) -> None:
        async with self._database.raw() as connection:
            await connection.execute(
                _SETTLE,
                [charge.key for charge in charges],
                [charge.units * charge.quota.unit_s for charge in charges],
            )

    async def renew(self, holders: Collection[UUID], ttl_s: float) -> Collection[UUID]:
        async with self._database.raw() as connection:
            rows = await connection.fetch(_RENEW, list(holders), ttl_s)
        return {plain(row["holder"]) for row in rows}

    async def release(self, holders: Collection[UUID]) -> None:
        async with self._database.raw() as connection:
            await connection.execute(_RELEASE, list(holders))

    async def prune(self) -> Mapping[str, int]:
        """Delete what nobody has used for an hour, 10,000 of each at most, and return how many rows of which table."""
        async with self._database.raw() as connection:
            buckets = await connection.execute(_PRUNE_BUCKETS)
            slots = await connection.execute(_PRUNE_SLOTS)
        return {"rate_buckets": int(buckets.rpartition(" ")[2]), "slots": int(slots.rpartition(" ")[2])}


def _taken(charges: Sequence[Charge], before: Mapping[bytes, float], *, admitted: bool) -> Taken:
    readings = (
        Reading(charge=charge, taken_s=before[charge.key] + (charge.cost_s if admitted else 0.0)) for charge in charges
    )
    return Taken(admitted=admitted, readings=tuple(readings))
