"""How a run is taken in: in one statement as a rule, in a transaction where its submission asks for more.

Whatever creates a run in a thread locks the thread's row first. A single statement sees the other runs as they were before
it had the lock; that is enough for a turn that is refused unless it is alone, because `uq_runs_live` is no snapshot. The
statements of the transaction come after the lock, so they see what there is. Locks are taken in this order: thread,
idempotency key, runs, webhooks.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg

from services.errors import IdempotencyMismatch
from services.runs.ports import Created
from services.storage.encoding import input_columns, plain, refuse_unstorable
from services.storage.run_stop import stop_thread
from services.storage.tenancy import busy, missing
from services.types import CancelAction, IdempotencyKey, Multitask, Run, RunStatus, Submission

NEXT_TURN = "next_turn"
"""The reason with which a turn stops the ones before it."""

STOPS: Mapping[Multitask, CancelAction] = {
    Multitask.INTERRUPT: CancelAction.INTERRUPT,
    Multitask.ROLLBACK: CancelAction.ROLLBACK,
}

_UNENDED_IN_THREAD = """
    SELECT FROM runs WHERE thread_id = $3 AND (status IN ('pending', 'running') OR status = 'queued')
"""
# Messages travel as one array per column, which is cheaper to encode than JSON for asyncpg and to read for Postgres.
_CREATE = """
WITH thread AS ({thread}), run AS (
    INSERT INTO runs (tenant_id, user_id, thread_id, id, ephemeral, graph, options, on_disconnect, metadata, decisions,
                      background, priority, deadline_at, flagged, traceparent, request_id, status)
    SELECT $1, $2, id, $4, $5, $6, $7, $8, $9, $10, $11::bool, $12, now() + make_interval(secs => $13), $14,
           $20, $21, {status}
    FROM thread WHERE {condition}
    ON CONFLICT (thread_id) WHERE status IN ('pending', 'running') DO NOTHING
    RETURNING id, status
), input AS (
    INSERT INTO messages (run_id, position, tenant_id, input, role, content, tool_calls, tool_call_id, name)
    SELECT run.id, n - 1, $1, true, role, content, calls::jsonb, call_id, name
    FROM run, unnest($15::text[], $16::text[], $17::text[], $18::text[], $19::text[])
        WITH ORDINALITY AS m (role, content, calls, call_id, name, n)
){more}
SELECT (SELECT count(*) FROM thread) AS threads, (SELECT status FROM run) AS status{news}
"""
_WITH_THREAD = "INSERT INTO threads (tenant_id, user_id, id, ephemeral) VALUES ($1, $2, $3, $5) RETURNING id"
_IN_THREAD = """
    UPDATE threads SET updated_at = now() WHERE tenant_id = $1 AND user_id = $2 AND id = $3 AND NOT ephemeral RETURNING id
"""
_CREATE_WITH_THREAD = _CREATE.format(thread=_WITH_THREAD, status="'pending'", condition="true", more="", news="")
_CREATE_IN_THREAD = _CREATE.format(
    thread=_IN_THREAD,
    status="'pending'",
    condition="NOT EXISTS (SELECT FROM runs WHERE thread_id = $3 AND status = 'queued')",
    more="",
    news="",
)
_CAREFULLY = {
    "status": f"CASE WHEN $11 OR EXISTS ({_UNENDED_IN_THREAD}) THEN 'queued' ELSE 'pending' END",
    "condition": f"$22 OR NOT EXISTS ({_UNENDED_IN_THREAD})",
    "more": """, told AS (
    INSERT INTO webhooks (run_id, tenant_id, url) SELECT id, $1, $23 FROM run WHERE $23::text IS NOT NULL
)""",
    # One that waits for its thread is announced by the end of the run before it.
    "news": """, (
    SELECT pg_notify('mainstay_agents', 'queued') FROM run WHERE status = 'queued'
    AND NOT EXISTS (SELECT FROM runs WHERE thread_id = $3 AND status IN ('pending', 'running'))
) AS news""",
}
_CREATE_CAREFULLY_WITH_THREAD = _CREATE.format(thread=_WITH_THREAD, **_CAREFULLY)
_CREATE_CAREFULLY_IN_THREAD = _CREATE.format(thread=_IN_THREAD, **_CAREFULLY)
_LOCK_THREAD = """
SELECT true FROM threads WHERE tenant_id = $1 AND user_id = $2 AND id = $3 AND NOT ephemeral FOR NO KEY UPDATE
"""
# Whoever comes second with a key waits here until the first has committed, or was refused. The run comes later in the
# transaction: the key's reference to it is checked at the end.
_TAKE_KEY = """
INSERT INTO idempotency_keys AS stored (tenant_id, user_id, key, digest, run_id) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, user_id, key) DO UPDATE SET digest = excluded.digest, run_id = excluded.run_id, created_at = now()
WHERE stored.created_at < now() - make_interval(secs => $6)
RETURNING true
"""
_OF_KEY = """
SELECT digest, run_id, status FROM idempotency_keys JOIN runs ON runs.id = run_id
WHERE idempotency_keys.tenant_id = $1 AND idempotency_keys.user_id = $2 AND key = $3
"""
KEY_TTL_S = 24 * 3600.0
"""How long a request with an idempotency key may be sent again."""


def is_plain(run: Run, submission: Submission) -> bool:
    """Whether one statement takes the run in: it is pending or refused, and there is nothing beside it to store."""
    waits = submission.multitask is not Multitask.REJECT and not run.new_thread
    return not (waits or run.background or submission.idempotency or submission.webhook_url)


async def create_plainly(connection: "asyncpg.Connection[Any]", run: Run) -> Mapping[str, Any] | None:
    """Store a pending run: returns how many `threads` were found for it, and its `status` if it was stored."""
    row: Mapping[str, Any] | None = await connection.fetchrow(
        _CREATE_WITH_THREAD if run.new_thread else _CREATE_IN_THREAD, *columns_of(run)
    )
    return row


async def create_carefully(connection: "asyncpg.Connection[Any]", run: Run, submission: Submission) -> Created:
    """Store a run as its submission wants it, within the caller's transaction.

    Raises NotFound, ThreadBusy and IdempotencyMismatch, upon which the transaction is to be rolled back.
    """
    if not run.new_thread and not await connection.fetchval(_LOCK_THREAD, run.tenant_id, run.user_id, run.thread_id):
        raise missing("thread", run.thread_id)
    if submission.idempotency is not None:
        earlier = await _earlier(connection, run, submission.idempotency)
        if earlier is not None:
            return earlier
    action = STOPS.get(submission.multitask)
    if action is not None and not run.new_thread:
        await stop_thread(connection, run.thread_id, action, NEXT_TURN)
    row = await connection.fetchrow(
        _CREATE_CAREFULLY_WITH_THREAD if run.new_thread else _CREATE_CAREFULLY_IN_THREAD,
        *columns_of(run),
        submission.multitask is not Multitask.REJECT,
        submission.webhook_url,
    )
    if row is None or row["status"] is None:
        raise busy()
    return Created(run_id=run.id, status=RunStatus(row["status"]))


async def _earlier(connection: "asyncpg.Connection[Any]", run: Run, idempotency: IdempotencyKey) -> Created | None:
    """Return the run that the key asked for before, or None and keep the key for this one. Raises IdempotencyMismatch."""
    key = (run.tenant_id, run.user_id, idempotency.key)
    if await connection.fetchval(_TAKE_KEY, *key, idempotency.digest, run.id, KEY_TTL_S):
        return None
    [row] = await connection.fetch(_OF_KEY, *key)
    if row["digest"] != idempotency.digest:
        raise reused()
    return Created(run_id=plain(row["run_id"]), status=RunStatus(row["status"]), existing=True)


def reused() -> IdempotencyMismatch:
    """Return the error for a key that has asked for something else."""
    return IdempotencyMismatch("The idempotency key was used for another request within the last 24 hours.")


def refuse_unstorable_submission(submission: Submission) -> None:
    """Raise InvalidRequest for a key or an address that Postgres cannot hold."""
    key = None if submission.idempotency is None else submission.idempotency.key
    refuse_unstorable((submission.webhook_url, key))


def columns_of(run: Run) -> tuple[Any, ...]:
    """Return the parameters of a statement that creates the run. Raises InvalidRequest."""
    options, metadata, decisions, messages = input_columns(run)
    return (
        run.tenant_id,
        run.user_id,
        run.thread_id,
        run.id,
        run.ephemeral,
        run.graph,
        options,
        run.on_disconnect,
        metadata,
        decisions,
        run.background,
        run.priority,
        run.timeout_s or 0.0,
        run.flagged,
        *messages,
        run.traceparent,
        run.request_id,
    )
