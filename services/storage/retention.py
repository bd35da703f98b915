"""Letting go of what is past its time, in Postgres: table by table, a few hundred rows at a time."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from services.runs.compaction import compact
from services.runs.log_writer import LogRow
from services.runs.prune import RetentionPolicy
from services.storage import memories_sql
from services.storage import retention_sql as sql
from services.storage.database import Database
from services.storage.encoding import plain
from services.storage.run_creation import KEY_TTL_S
from services.types import Fence

_LOGS_AT_ONCE = 20
"""How many logs are held in memory, and locked, while they are compacted."""
_NIL = UUID(int=0)


class Retention:
    """`services.runs.prune.Prunable` in Postgres. Each statement looks at `limit` rows, threads or logs at most.

    Of a run that has not ended nothing is touched but an idempotency key that has had its 24 hours.
    """

    def __init__(self, database: Database, policy: RetentionPolicy, *, limit: int = 500) -> None:
        self._database = database
        self._policy = policy
        self._limit = limit

    async def prune(self) -> Mapping[str, int]:
        """Go through the tables once. Returns how many rows each has lost, and how many logs were compacted.

        What went with a thread counts as one thread. Raises StoreUnavailable, and what was done by then is done.
        """
        policy = self._policy
        keys = await self._repeat(
            sql.IDEMPOTENCY_KEYS, KEY_TTL_S
        )  # first, for a thread stays while one of its runs has a key
        return {
            "idempotency_keys": keys,
            "threads": await self._walk(sql.THREADS, _NIL, policy.ephemeral_ttl_s, policy.thread_ttl_s),
            "checkpoints": await self._walk(sql.CHECKPOINTS, ""),
            "checkpoint_writes": await self._walk(sql.CHECKPOINT_WRITES, ""),
            "checkpoint_blobs": await self._walk(sql.CHECKPOINT_BLOBS, ""),
            "run_events": await self._walk(sql.EVENTS, _NIL, policy.events_ttl_s),
            "run_spans": await self._walk(sql.TRACES, _NIL, policy.traces_ttl_s),
            "compacted_logs": await self._compact(),
            "memories": await self._repeat(memories_sql.PRUNE),
            "leases": await self._repeat(sql.LEASES),
            "usage": await self._walk(sql.USAGE, _NIL, policy.usage_ttl_s),
            "audit_events": await self._walk(sql.ATTEMPTS, _NIL, policy.attempts_ttl_s),
            "alerts": await self._walk(sql.ALERTS, _NIL, policy.alerts_ttl_s),
        }

    async def _walk(self, statement: str, start: UUID | str, *ttls_s: float | None) -> int:
        """Go through a table in the order of its key. With nothing but None for times to live it is left alone."""
        if ttls_s and all(ttl_s is None for ttl_s in ttls_s):
            return 0
        at: UUID | str | None = start
        gone = 0
        while at is not None:
            async with self._database.raw() as connection:
                row = await connection.fetchrow(statement, at, self._limit, *ttls_s)
            at = row["until"] if row else None
            gone += row["gone"] if row else 0
        return gone

    async def _repeat(self, statement: str, *ttl_s: float) -> int:
        gone, last = 0, self._limit
        while last == self._limit:
            async with self._database.raw() as connection:
                last = int((await connection.execute(statement, self._limit, *ttl_s)).rpartition(" ")[2])
            gone += last
        return gone

    async def _compact(self) -> int:
        """Put together the logs of runs that ended long enough ago; return how many became smaller."""
        after_s, at, compacted = self._policy.compact_after_s, _NIL, 0
        while after_s is not None:
            async with self._database.raw() as connection:
                page = await connection.fetch(sql.LOOSE_LOGS, at, self._limit, after_s)
            due = [row["run_id"] for row in page if row["due"]]
            for start in range(0, len(due), _LOGS_AT_ONCE):
                compacted += await self._put_together(due[start : start + _LOGS_AT_ONCE])
            if not page:
                break
            at = page[-1]["run_id"]
        return compacted

    async def _put_together(self, run_ids: Sequence[UUID]) -> int:
        """Rewrite these logs in one transaction, so that whoever reads one meanwhile sees it as it was or as it is then."""
        async with self._database.raw() as connection, connection.transaction():
            held = [row["id"] for row in await connection.fetch(sql.HOLD_LOGS, run_ids)]
            stored = [_row(row) for row in await connection.fetch(sql.READ_LOGS, held)]
            logs = [list(of_run) for _, of_run in groupby(stored, key=lambda row: row.fence.run_id)]
            # One that cannot become smaller, because ids are missing in it, or that another replica was quicker with, stays.
            smaller = [new for old in logs if (new := compact(old)) != old]
            rows = [row for log in smaller for row in log]
            await connection.execute(sql.DELETE_LOGS, [log[0].fence.run_id for log in smaller])
            await connection.execute(
                sql.STORE_LOGS,
                [row.fence.run_id for row in rows],
                [row.fence.attempt for row in rows],
                [row.first_seq for row in rows],
                [row.seq for row in rows],
                [row.body for row in rows],
            )
        return len(smaller)


def _row(row: Mapping[str, Any]) -> LogRow:
    fence = Fence(run_id=plain(row["run_id"]), attempt=row["attempt"])
    return LogRow(fence=fence, first_seq=row["first_seq"], seq=row["seq"], body=row["body"])
