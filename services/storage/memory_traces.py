"""Traces of runs in memory; see `TraceRepository`."""

from collections.abc import Callable, Sequence
from uuid import UUID

from services.telemetry.span_writer import StoredTrace
from services.types import Run


class MemoryTraces:
    """`services.telemetry.span_writer.TraceStore` in memory. `find` knows the runs that are there."""

    def __init__(self, find: Callable[[UUID], Run | None]) -> None:
        self._find = find
        self.rows: dict[tuple[UUID, str, int], StoredTrace] = {}

    async def add(self, traces: Sequence[StoredTrace]) -> None:
        for trace in traces:
            if self._find(trace.run_id) is not None:
                self.rows.setdefault((trace.run_id, trace.source, trace.attempt), trace)

    async def of_run(self, run_id: UUID) -> Sequence[StoredTrace]:
        return [trace for trace in self.rows.values() if trace.run_id == run_id]
