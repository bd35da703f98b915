"""Traces of runs in Postgres: one row for each process that worked for a run."""

from collections.abc import Sequence
from uuid import UUID

from services.storage.database import Database
from services.storage.encoding import plain
from services.telemetry.span_writer import StoredTrace
from services.telemetry.trace_context import TraceContext, attempt_span_id

_ADD = """
INSERT INTO run_spans (run_id, source, attempt, tenant_id, body)
SELECT r.id, s.source, s.attempt, r.tenant_id, s.body
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bytea[]) AS s (run_id, source, attempt, body)
JOIN runs r ON r.id = s.run_id
ON CONFLICT DO NOTHING
"""
_OF_RUN = "SELECT run_id, source, attempt, body FROM run_spans WHERE run_id = $1 ORDER BY created_at, source, attempt"


_TRACEPARENT = "SELECT traceparent, attempt FROM runs WHERE id = $1"


class TraceRepository:
    """`services.telemetry.span_writer.TraceStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, traces: Sequence[StoredTrace]) -> None:
        """Store parts of traces; the first of its kind counts. Raises StoreUnavailable.

        Not scoped to a principal: the ids are our own.
        """
        async with self._database.raw() as connection:
            await connection.execute(
                _ADD,
                [trace.run_id for trace in traces],
                [trace.source for trace in traces],
                [trace.attempt for trace in traces],
                [trace.body for trace in traces],
            )

    async def of_run(self, run_id: UUID) -> Sequence[StoredTrace]:
        """Return what is stored of a run's trace. Not scoped: the caller knows whose the run is. Raises StoreUnavailable."""
        async with self._database.raw() as connection:
            rows = await connection.fetch(_OF_RUN, run_id)
        return [
            StoredTrace(run_id=plain(row["run_id"]), source=row["source"], attempt=row["attempt"], body=row["body"])
            for row in rows
        ]

    async def traceparent(self, run_id: UUID) -> str | None:
        """Return the `traceparent` of the last attempt at a run, None for one that is not traced, or gone.

        Not scoped: for the evaluator, which has the id from a sample of ours. Raises StoreUnavailable.
        """
        async with self._database.raw() as connection:
            row = await connection.fetchrow(_TRACEPARENT, run_id)
        if row is None or (context := TraceContext.parse(row["traceparent"])) is None:
            return None
        return context.traceparent_at(attempt_span_id(run_id, row["attempt"]))
