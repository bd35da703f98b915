"""Which agent replicas are alive, and what becomes of the runs that nobody has: lost ones, and queued ones."""

from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg

from services.storage.database import Database
from services.storage.encoding import plain
from services.storage.rows import CLAIMED, claim_from
from services.storage.run_queue import TAKEN
from services.types import CancelAction, Cancellation, Claim

_BEAT = """
WITH beat AS (
    INSERT INTO leases (id, beat_at, expires_at) VALUES ($1, now(), now() + make_interval(secs => $2))
    ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, expires_at = excluded.expires_at
)
SELECT id, cancel_action, cancel_reason FROM runs
WHERE owner = $1 AND status = 'running' AND cancel_action IS NOT NULL
"""
# A server that has just started again has not heard anybody's heartbeat: whoever was alive before it stopped is given the time.
# Who holds no lease takes nothing, for it would be taken from them at once. What is lost is found without locks, so the attempt
# is looked at again with the lock: whoever took the run meanwhile has raised it, and this statement does not see their lease.
_TAKE_OVER = CLAIMED.format(
    claimed="""lost AS MATERIALIZED (
    SELECT runs.id, attempt FROM runs LEFT JOIN leases ON leases.id = runs.owner
    WHERE status IN ('pending', 'running')
      AND CASE status
          WHEN 'pending' THEN runs.created_at < now() - make_interval(secs => $3)
          ELSE leases.id IS NULL OR leases.expires_at < now()
      END
      AND pg_postmaster_start_time() < now() - make_interval(secs => $4)
      AND EXISTS (SELECT FROM leases AS own WHERE own.id = $1 AND own.expires_at >= now())
), ready AS (
    SELECT runs.id FROM lost JOIN runs ON runs.id = lost.id AND runs.attempt = lost.attempt
    WHERE status IN ('pending', 'running') ORDER BY runs.created_at LIMIT $2 FOR NO KEY UPDATE OF runs SKIP LOCKED
), claimed AS (
    UPDATE runs SET status = 'running', started_at = coalesce(started_at, now()), owner = $1, attempt = attempt + 1,
        crashes = CASE status WHEN 'running' THEN crashes + 1 ELSE crashes END
    FROM ready WHERE runs.id = ready.id RETURNING runs.*
)"""
)
_TAKE_QUEUED = CLAIMED.format(claimed=TAKEN)
# A run that somebody else has taken meanwhile has another owner by the time that it is locked.
_TAKE_BACK = CLAIMED.format(
    claimed="""unknown AS (
    SELECT id FROM runs
    WHERE owner = $1 AND status = 'running' AND id <> ALL($2) AND started_at < now() - make_interval(secs => $3)
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE runs SET attempt = attempt + 1, crashes = crashes + 1 FROM unknown WHERE runs.id = unknown.id RETURNING runs.*
)"""
)
_TRIES = 3
_RELEASE = """
WITH lease AS (UPDATE leases SET expires_at = now() WHERE id = $1 RETURNING id)
SELECT pg_notify('mainstay_agents', 'queued') FROM lease WHERE EXISTS (
    SELECT FROM runs WHERE owner = lease.id AND status = 'running'
)
"""
_FORGET = """
DELETE FROM leases WHERE expires_at < now() - interval '1 minute'
AND NOT EXISTS (SELECT FROM runs WHERE owner = leases.id AND status = 'running')
"""


class LeaseRepository:
    """`services.runs.ports.Leases` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beat(self, lease: UUID, ttl_s: float) -> Sequence[Cancellation]:
        """Hold the lease for another `ttl_s`, by Postgres' clock, and return which of its runs somebody wants stopped."""
        async with self._database.raw() as connection:
            rows = await connection.fetch(_BEAT, lease, ttl_s)
        return [
            Cancellation(
                run_id=plain(row["id"]),
                action=CancelAction(row["cancel_action"]),
                reason=row["cancel_reason"] or "cancelled",
            )
            for row in rows
        ]

    async def take_over(self, lease: UUID, *, limit: int, pickup_s: float, settle_s: float) -> Sequence[Claim]:
        """Take runs that have lost their owner, the oldest first, but none in a server's first `settle_s`.

        Nor without a lease that is held.
        """
        async with self._database.raw() as connection:
            rows = await connection.fetch(_TAKE_OVER, lease, limit, pickup_s, settle_s)
        return [claim_from(row) for row in rows]

    async def take_queued(self, lease: UUID, *, limit: int, background: bool) -> Sequence[Claim]:
        """Take queued runs whose thread is free, in the order of `run_queue`, but none without a lease that is held.

        Where a turn is sent to one of their threads at this moment `uq_runs_live` lets only one have it: we look again, and
        after some tries leave it to the next time.
        """
        for _ in range(_TRIES):
            try:
                async with self._database.raw() as connection:
                    rows = await connection.fetch(_TAKE_QUEUED, lease, limit, background)
            except asyncpg.UniqueViolationError:
                continue
            return [claim_from(row) for row in rows]
        return ()

    async def take_back(self, lease: UUID, *, held: Collection[UUID], begun_before_s: float) -> Sequence[Claim]:
        """Take the lease's runs anew of which its replica does not know."""
        async with self._database.raw() as connection:
            rows = await connection.fetch(_TAKE_BACK, lease, list(held), begun_before_s)
        return [claim_from(row) for row in rows]

    async def release(self, lease: UUID) -> None:
        """Give the lease up at once, and wake the other replicas where it still has runs. Forget leases of long ago."""
        async with self._database.raw() as connection:
            await connection.execute(_RELEASE, lease)
            await connection.execute(_FORGET)
