"""What an agent replica writes of the runs that it has taken. Each method is one statement, and holds while the fence does."""

from collections.abc import Collection, Sequence
from uuid import UUID

from services.runs.checkpoints import KeptCheckpoint
from services.runs.log_writer import LogRow
from services.storage.database import Database
from services.storage.encoding import plain
from services.storage.rows import CLAIMED, claim_from
from services.storage.run_end import end_run
from services.storage.tenancy import missing
from services.types import Claim, RunOutcome, RunStatus

_CLAIM = CLAIMED.format(
    claimed="""claimed AS (
    UPDATE runs SET status = 'running', started_at = now(), owner = $2, attempt = attempt + 1
    WHERE id = $1 AND status = 'pending' RETURNING *
)"""
)
# The lock makes a take-over wait until the rows are stored, and the rows refused once it has been: an attempt is never
# written to after the next one has begun. Several rows are locked in the order of their ids, as everywhere.
_APPEND = """
WITH held AS MATERIALIZED (
    SELECT id, attempt, tenant_id FROM runs
    WHERE (id, attempt) IN (SELECT * FROM unnest($1::uuid[], $2::int[])) AND finished_at IS NULL
    ORDER BY id FOR SHARE
), logged AS (
    INSERT INTO run_events (run_id, tenant_id, attempt, first_seq, seq, body)
    SELECT id, tenant_id, attempt, first_seq, seq, body
    FROM held JOIN unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::bytea[])
        AS e (id, attempt, first_seq, seq, body) USING (id, attempt)
    ON CONFLICT DO NOTHING
)
SELECT DISTINCT id FROM unnest($1::uuid[], $2::int[]) AS e (id, attempt)
WHERE NOT EXISTS (SELECT FROM held WHERE held.id = e.id AND held.attempt = e.attempt)
"""
_WATCHED = "SELECT watched_at > now() - make_interval(secs => $2) FROM runs WHERE id = $1"


class OwnedRunRepository:
    """`services.runs.ports.OwnedRuns` and `services.runs.log_writer.EventLog` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, run_id: UUID, lease: UUID) -> Claim:
        """Take a pending run. Raises NotFound and StoreUnavailable.

        Not scoped to a principal: the id comes from a ticket of our own, never from a client.
        """
        async with self._database.raw() as connection:
            row = await connection.fetchrow(_CLAIM, run_id, lease)
        if row is None:
            raise missing("run", run_id)
        return claim_from(row)

    async def finish(
        self, claim: Claim, outcome: RunOutcome, rows: Sequence[LogRow], last: KeptCheckpoint | None = None
    ) -> RunStatus:
        """Write how a run ended, with its last events and checkpoint. Raises RunSuperseded and StoreUnavailable."""
        return await end_run(self._database, claim.run, outcome, attempt=claim.run.attempt, rows=rows, last=last)

    async def append(self, rows: Sequence[LogRow]) -> Collection[UUID]:
        """Store rows of the event log, and return the runs that are over or taken over, whose rows were not."""
        async with self._database.raw() as connection:
            refused = await connection.fetch(
                _APPEND,
                [row.fence.run_id for row in rows],
                [row.fence.attempt for row in rows],
                [row.first_seq for row in rows],
                [row.seq for row in rows],
                [row.body for row in rows],
            )
        return {plain(row["id"]) for row in refused}

    async def watched(self, run_id: UUID, within_s: float) -> bool:
        """Whether somebody has read the run's log as it grew during the last so many seconds."""
        async with self._database.raw() as connection:
            return bool(await connection.fetchval(_WATCHED, run_id, within_s))
