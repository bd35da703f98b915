"""Runs in Postgres, as the ingress needs them. What every request does is one statement and one round trip.

These are SQL texts on asyncpg: `create`, `claim` and `finish` together take 0.7 ms of a replica's CPU, and 5.0 ms in
SQLAlchemy Core (990 against 138 runs/s, measured on two cores with Postgres beside it), whose every call walks its layers
and adds BEGIN and COMMIT. What not every request needs is Core, like `get`.
"""

from dataclasses import replace
from uuid import UUID

from sqlalchemy import select

from services.errors import DeadlineExceeded, IdempotencyMismatch, NotFound, ThreadBusy
from services.runs.ports import PLAIN, Created
from services.storage.database import Database
from services.storage.encoding import failure_to_json
from services.storage.rows import run_from, usage_from
from services.storage.run_creation import create_carefully, create_plainly, is_plain, refuse_unstorable_submission
from services.storage.run_end import end_run
from services.storage.run_queue import POSITION
from services.storage.run_rollback import erase
from services.storage.run_stop import stop_run
from services.storage.tables import messages, runs, usage
from services.storage.tenancy import busy, missing, owned
from services.types import CancelAction, Principal, Run, RunOutcome, RunStatus, Submission, Usage

# What somebody else has locked is being ended, or taken, at this moment. The two arms of `late` are each served by an index.
_SWEEP = """
WITH late AS MATERIALIZED (
    SELECT id, status AS was FROM runs
    WHERE status IN ('pending', 'running') AND deadline_at < now() - make_interval(secs => $1)
       OR status = 'queued' AND CASE WHEN background THEN created_at < now() - make_interval(secs => $2)
                                     ELSE deadline_at < now() - make_interval(secs => $1) END
    FOR NO KEY UPDATE SKIP LOCKED
), ended AS (
    UPDATE runs SET
        status = CASE WHEN cancel_action = 'rollback' THEN 'cancelled' ELSE 'failed' END,
        failure = CASE WHEN cancel_action = 'rollback' THEN NULL
                       WHEN was = 'queued' AND background THEN $4::jsonb ELSE $3::jsonb END,
        finished_at = now()
    FROM late WHERE runs.id = late.id AND finished_at IS NULL RETURNING runs.id, thread_id, cancel_action
), told AS (
    UPDATE webhooks SET next_at = now() FROM ended WHERE webhooks.run_id = ended.id
)
SELECT id, cancel_action IS NOT DISTINCT FROM 'rollback' AS rolled_back, CASE WHEN EXISTS (
    SELECT FROM runs AS next WHERE next.thread_id = ended.thread_id AND next.status = 'queued'
) THEN pg_notify('mainstay_agents', 'queued') END AS news
FROM ended
"""
_QUEUE_AGE = """
SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM runs WHERE status = 'queued' AND background
"""
_SUSPECT = """
UPDATE leases SET expires_at = least(expires_at, beat_at + make_interval(secs => $2))
FROM runs WHERE runs.id = $1 AND status = 'running' AND leases.id = owner
"""
SUSPICION_S = 2.5
"""How long after its last heartbeat the owner of a broken stream is taken to be alive: one heartbeat, and some."""

LATE = DeadlineExceeded("The run reached its time limit.").to_failure()
NEVER_TAKEN = DeadlineExceeded("The run waited in the queue for longer than is allowed.").to_failure()


class RunRepository:
    """`services.runs.ports.RunStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, run: Run, submission: Submission = PLAIN) -> Created:
        """Store a run with its input and, with `run.new_thread`, its thread.

        Raises NotFound, ThreadBusy, IdempotencyMismatch, StoreUnavailable, and InvalidRequest for text that Postgres cannot
        hold.
        """
        if not is_plain(run, submission):
            return await self._create_carefully(run, submission)
        async with self._database.raw() as connection:
            row = await create_plainly(connection, run)
        if row is None or row["threads"] == 0:
            raise missing("thread", run.thread_id)
        if row["status"] is None:
            raise busy()
        return Created(run_id=run.id, status=RunStatus(row["status"]))

    async def _create_carefully(self, run: Run, submission: Submission) -> Created:
        refuse_unstorable_submission(submission)
        async with self._database.raw() as connection:
            try:
                async with connection.transaction():
                    return await create_carefully(connection, run, submission)
            except (NotFound, ThreadBusy, IdempotencyMismatch) as error:
                refusal = error
        raise refusal  # out here, for the pool drops a connection whose block raised

    async def position(self, run: Run) -> int | None:
        """Return how many queued runs would be taken before this one as things stand, None when it is not queued.

        For one that a client waits for these are the ones before it in its thread; nobody else's stand in its way.
        Raises StoreUnavailable.
        """
        async with self._database.raw() as connection:
            position: int | None = await connection.fetchval(POSITION, run.id)
        return position

    async def finish(self, run: Run, outcome: RunOutcome) -> RunStatus:
        """Write how a run ended that no agent ends, and return how it stands. Raises StoreUnavailable."""
        return await end_run(self._database, run, outcome)

    async def cancel(self, run_id: UUID, action: CancelAction, reason: str) -> None:
        """Have a run stopped by its owner, or end it at once where it has none. Raises StoreUnavailable."""
        async with self._database.raw() as connection:
            await stop_run(connection, run_id, action, reason)

    async def suspect(self, run_id: UUID) -> None:
        """Shorten the lease of the run's owner to SUSPICION_S after its last heartbeat; one that is alive renews it.

        Raises StoreUnavailable.
        """
        async with self._database.raw() as connection:
            await connection.execute(_SUSPECT, run_id, SUSPICION_S)

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        """Return a run of the principal's. Raises NotFound and StoreUnavailable."""
        found = (
            select(runs, *(usage.c[name] for name in Usage.__slots__))
            .outerjoin(usage, usage.c.run_id == runs.c.id)
            .where(runs.c.id == run_id, owned(runs, principal))
        )
        inputs = select(messages).where(messages.c.run_id == run_id, messages.c.input).order_by(messages.c.position)
        async with self._database.transaction() as connection:
            row = (await connection.execute(found)).mappings().one_or_none()
            if row is None:
                raise missing("run", run_id)
            rows = (await connection.execute(inputs)).mappings().all()
        return replace(run_from(row, rows), usage=usage_from(row))

    async def sweep(self, *, overdue_s: float, queue_ttl_s: float) -> int:
        """Fail runs that have not ended `overdue_s` after their deadline, so that their threads are free; return how many.

        The run's owner ends it in time, and the ingress that reads it too. This is for runs that both of them have lost,
        and for background runs that no agent has taken in `queue_ttl_s`, whose deadline counts only from then. Raises
        StoreUnavailable.
        """
        async with self._database.raw() as connection, connection.transaction():
            rows = await connection.fetch(
                _SWEEP, overdue_s, queue_ttl_s, failure_to_json(LATE), failure_to_json(NEVER_TAKEN)
            )
            rolled_back = [row["id"] for row in rows if row["rolled_back"]]
            if rolled_back:
                await erase(connection, rolled_back)
        return len(rows)

    async def queue_age_s(self) -> float:
        """Return for how long the oldest queued background run has waited, 0 where there is none. Raises StoreUnavailable."""
        async with self._database.raw() as connection:
            age_s: float = await connection.fetchval(_QUEUE_AGE)
        return age_s
