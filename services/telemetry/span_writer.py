"""Traces on their way into the runs' own record, for `GET /v1/runs/{run_id}/trace`: together, and never in a run's way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import orjson

from services.errors import StoreUnavailable
from services.telemetry.metrics import TRACES_DROPPED, UNMEASURED, Meter
from services.telemetry.recorded import RecordedSpan, RecordedTrace
from services.telemetry.spans import Value
from services.telemetry.texts import attribute

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTrace:
    """What one process has to say of a run's trace: `body` is JSON, as `stored` writes it."""

    run_id: UUID
    source: str
    attempt: int
    body: bytes


class TraceStore(Protocol):
    async def add(self, traces: Sequence[StoredTrace]) -> None:
        """Store parts of traces; those of runs that are not there are dropped. Raises StoreUnavailable."""
        ...

    async def of_run(self, run_id: UUID) -> Sequence[StoredTrace]:
        """Return what is stored of a run's trace. Raises StoreUnavailable."""
        ...


class SpanWriter:
    """Implements `TraceSink`. One statement stores whatever has come in `every_s`; more than `capacity` is dropped and counted.

    Nothing is tried again: a trace that a database outage costs is worth less than what it would queue behind it.
    """

    def __init__(
        self,
        store: TraceStore,
        meter: Meter = UNMEASURED,
        *,
        every_s: float = 1.0,
        capacity: int = 256,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._meter = meter
        self._every_s = every_s
        self._capacity = capacity
        self._sleep = sleep
        self._waiting: list[RecordedTrace] = []
        self._news = asyncio.Event()

    def add(self, trace: RecordedTrace) -> None:
        if trace.run_id is None:
            return  # of a request that did not become a run
        if len(self._waiting) >= self._capacity:
            self._meter.record(TRACES_DROPPED, 1.0, {})
            return
        self._waiting.append(trace)
        self._news.set()

    async def write_forever(self) -> None:
        """Store what comes, until cancelled."""
        while True:
            await self._news.wait()
            await self._sleep(self._every_s)
            await self.flush()

    async def flush(self) -> None:
        """Store what has come."""
        traces, self._waiting = self._waiting, []
        self._news.clear()
        if not traces:
            return
        # gather makes whatever is raised a value: what cannot be stored must not end the task that stores what comes next.
        try:
            [failure] = await asyncio.gather(self._store_all(traces), return_exceptions=True)
        except asyncio.CancelledError:
            self._waiting = [*traces, *self._waiting]
            raise
        if failure is not None:
            trace = None if isinstance(failure, StoreUnavailable) else failure
            logger.warning("%d traces could not be stored", len(traces), exc_info=trace)
            self._meter.record(TRACES_DROPPED, float(len(traces)), {})

    async def _store_all(self, traces: Sequence[RecordedTrace]) -> None:
        await self._store.add([stored(trace) for trace in traces])


def stored(trace: RecordedTrace) -> StoredTrace:
    """Return a trace of a known run as it is stored."""
    assert trace.run_id is not None  # noqa: S101 - `add` takes no other
    body = {"trace_id": trace.trace_id, "dropped": trace.dropped, "spans": [_span(span) for span in trace.spans]}
    return StoredTrace(run_id=trace.run_id, source=trace.source, attempt=trace.attempt, body=orjson.dumps(body))


def _span(span: RecordedSpan) -> dict[str, Any]:
    return {
        "id": span.id,
        "parent_id": span.parent_id,
        "name": attribute(span.name),
        "kind": span.kind,
        "started_ns": span.started_ns,
        "ended_ns": span.ended_ns,
        "error": span.error,
        "attributes": {name: _value(value) for name, value in span.attributes.items()},
        "events": [
            {
                "name": event.name,
                "at_ns": event.at_ns,
                "attributes": {name: _value(value) for name, value in event.attributes.items()},
            }
            for event in span.events or ()
        ],
    }


def _value(value: Value) -> Any:
    if isinstance(value, str):
        return attribute(value)
    if isinstance(value, bool | int | float | UUID):
        return value
    return [attribute(item) for item in value]
