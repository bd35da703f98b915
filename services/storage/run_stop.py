"""How runs are stopped: one that an agent has is its owner's to end, any other ends here and now."""

from typing import Any
from uuid import UUID

import asyncpg

from services.types import CancelAction

# One UPDATE, so that a run which is claimed at this moment is either stopped by its owner or has ended before. Several rows
# are locked in the order of their ids, as everywhere. `greatest` makes a rollback of two wishes that differ: somebody was
# promised one. What was never claimed has said nothing, so all there is to take back of it is its input.
_STOP = """
WITH chosen AS MATERIALIZED (
    SELECT id FROM runs WHERE {which} AND (status IN ('pending', 'running') OR status = 'queued')
    ORDER BY id FOR NO KEY UPDATE
), run AS (
    UPDATE runs SET
        cancel_action = greatest(cancel_action, $2), cancel_reason = coalesce(cancel_reason, $3),
        status = CASE status WHEN 'running' THEN status ELSE 'cancelled' END,
        finished_at = CASE status WHEN 'running' THEN NULL ELSE now() END
    FROM chosen WHERE runs.id = chosen.id AND finished_at IS NULL
    RETURNING runs.id, thread_id, status, cancel_action
), unsaid AS (
    DELETE FROM messages USING run
    WHERE messages.run_id = run.id AND status = 'cancelled' AND cancel_action = 'rollback'
), told AS (
    UPDATE webhooks SET next_at = now() FROM run WHERE webhooks.run_id = run.id AND status = 'cancelled'
)
SELECT pg_notify('mainstay_agents', news) FROM (
    SELECT 'cancel' AS news FROM run WHERE status = 'running'
    UNION
    SELECT 'queued' FROM run WHERE status = 'cancelled' AND EXISTS (
        SELECT FROM runs AS next WHERE next.thread_id = run.thread_id AND next.status = 'queued' AND next.id <> run.id
    )
) AS news
"""
_STOP_RUN = _STOP.format(which="id = $1")
_STOP_THREAD = _STOP.format(which="thread_id = $1")


async def stop_run(connection: "asyncpg.Connection[Any]", run_id: UUID, action: CancelAction, reason: str) -> None:
    """Stop a run that has not ended."""
    await connection.execute(_STOP_RUN, run_id, action, reason)


async def stop_thread(
    connection: "asyncpg.Connection[Any]", thread_id: UUID, action: CancelAction, reason: str
) -> None:
    """Stop whatever has not ended in a thread, which the caller has locked."""
    await connection.execute(_STOP_THREAD, thread_id, action, reason)
