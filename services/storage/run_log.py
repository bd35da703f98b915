"""The event log of runs as it is read: for many readers at once, so that a replica asks once for all of them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from services.events import EventBatch
from services.runs.event_codec import decode
from services.runs.ports import LogPage
from services.storage.database import Database
from services.storage.encoding import plain
from services.storage.rows import run_from, usage_from
from services.types import EventId

PAGE_ROWS = 64
"""How many rows of one run are read at once; a row is what a run said in some 150 ms."""

# The run is read with its events, in one statement and so at one moment: once it has ended nothing is stored any more. What
# it is is read of runs that have ended only, of which there is one more reading.
_READ = """
SELECT position.id AS asked, attempts, first_seqs, bodies, ended.*, input_tokens, output_tokens, cached_tokens,
       reasoning_tokens, model_calls, estimated, cost_micros
FROM unnest($1::uuid[], $2::int[], $3::int[]) AS position (id, attempt, seq)
JOIN runs ON runs.id = position.id
LEFT JOIN runs AS ended ON ended.id = runs.id AND runs.finished_at IS NOT NULL
LEFT JOIN usage ON usage.run_id = ended.id
LEFT JOIN LATERAL (
    SELECT array_agg(page.attempt) AS attempts, array_agg(first_seq) AS first_seqs, array_agg(body) AS bodies
    FROM (
        SELECT attempt, first_seq, body FROM run_events
        WHERE run_id = position.id AND (run_events.attempt, run_events.seq) > (position.attempt, position.seq)
        ORDER BY run_events.attempt, run_events.seq LIMIT $4
    ) AS page
) AS events ON true
"""
# In the order of their ids, as everywhere, for whoever else locks several at once.
_WATCH = """
WITH watched AS MATERIALIZED (
    SELECT id FROM runs WHERE id = ANY($1) AND finished_at IS NULL ORDER BY id FOR NO KEY UPDATE
)
UPDATE runs SET watched_at = now() FROM watched WHERE runs.id = watched.id AND finished_at IS NULL
"""


class RunLogRepository:
    """`services.runs.ports.RunLog` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, positions: Mapping[UUID, EventId | None]) -> Mapping[UUID, LogPage]:
        """Return the events after each position, and of runs that have ended and say no more, how. Raises StoreUnavailable."""
        after = [(at.attempt, at.seq) if at else (0, -1) for at in positions.values()]
        async with self._database.raw() as connection:
            rows = await connection.fetch(
                _READ, list(positions), [attempt for attempt, _ in after], [seq for _, seq in after], PAGE_ROWS
            )
        pages = {}
        for row in rows:
            run_id = plain(row["asked"])
            pages[run_id] = _page(positions[run_id], row)
        return pages

    async def watch(self, run_ids: Collection[UUID]) -> None:
        """Say that somebody reads these runs. Raises StoreUnavailable."""
        async with self._database.raw() as connection:
            await connection.execute(_WATCH, list(run_ids))


def _page(position: EventId | None, row: Mapping[str, Any]) -> LogPage:
    bodies = row["bodies"] or ()
    rows = zip(row["attempts"] or (), row["first_seqs"] or (), bodies, strict=True)
    over = row["finished_at"] is not None and len(bodies) < PAGE_ROWS
    return LogPage(
        batches=tuple(batch_after(position, *stored) for stored in rows),
        ended=replace(run_from(row, ()), usage=usage_from(row)) if over else None,
    )


def batch_after(position: EventId | None, attempt: int, first_seq: int, body: bytes) -> EventBatch:
    """Return what a row holds after the position, which may lie within it."""
    events = decode(body)
    known = position.seq + 1 - first_seq if position is not None and position.attempt == attempt else 0
    skip = max(0, known)
    return EventBatch(attempt=attempt, first_seq=first_seq + skip, events=events[skip:])
