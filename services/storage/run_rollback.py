"""What is erased of a run that is to be as if it had never been; its row stays, cancelled, and so does its bill."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import asyncpg

from services.storage.checkpoint_sql import DELETE_UNUSED_BLOBS

# The checkpoint that the run began from is another run's, or nobody's, and so it is the thread's newest again. The ledger
# of tool effects stays: what was done to the world has been done.
_ERASE = """
WITH run AS (
    SELECT id, thread_id::text COLLATE "C" AS thread FROM runs WHERE id = ANY($1)
), unsaid AS (
    DELETE FROM messages USING run WHERE messages.run_id = run.id
), unlogged AS (
    DELETE FROM run_events USING run WHERE run_events.run_id = run.id
), forgotten AS (
    DELETE FROM checkpoints AS c USING run WHERE c.thread_id = run.thread AND metadata ->> 'run_id' = run.id::text
    RETURNING c.thread_id, c.checkpoint_ns, c.checkpoint_id
), unwritten AS (
    DELETE FROM checkpoint_writes AS w USING forgotten AS c
    WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns AND w.checkpoint_id = c.checkpoint_id
)
SELECT DISTINCT thread_id FROM forgotten
"""


async def erase(connection: "asyncpg.Connection[Any]", run_ids: Collection[UUID]) -> None:
    """Erase the messages, the log and the checkpoints of runs that have ended, within the caller's transaction."""
    rows = await connection.fetch(_ERASE, list(run_ids))
    if rows:
        await connection.execute(DELETE_UNUSED_BLOBS, [row["thread_id"] for row in rows])
