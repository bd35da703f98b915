"""`GET /v1/runs/{run_id}/trace`: what was done for a run, as a tree of spans, without any collector."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel

from deployments.http.asking import Reader
from services.runs.traces import RunTrace, RunTraces, SpanNode
from services.types import JsonObject

_NS = 1_000_000_000


class SpanEventJson(BaseModel):
    name: str
    at: datetime | None
    attributes: JsonObject


class SpanJson(BaseModel):
    """`source` is the part of Mainstay. `started_at` is null where it is not known, `duration_s` while a run goes on."""

    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    source: str
    attempt: int
    started_at: datetime | None
    duration_s: float | None
    error: str | None
    attributes: JsonObject
    events: list[SpanEventJson]
    children: list["SpanJson"]


class TraceJson(BaseModel):
    """`sampled` says that spans were kept. Where it is false they are made of the run's record, and tell less."""

    run_id: UUID
    trace_id: str | None
    sampled: bool
    dropped_spans: int
    spans: list[SpanJson]


def traces_router(traces: RunTraces) -> APIRouter:
    router = APIRouter(prefix="/v1/runs", tags=["runs"])

    @router.get("/{run_id}/trace")
    async def get_trace(asking: Reader, run_id: Annotated[UUID, Path()]) -> TraceJson:
        return _trace_json(await traces.of(asking, run_id))

    return router


def _trace_json(trace: RunTrace) -> TraceJson:
    return TraceJson(
        run_id=trace.run_id,
        trace_id=trace.trace_id,
        sampled=trace.sampled,
        dropped_spans=trace.dropped,
        spans=[_span_json(span) for span in trace.spans],
    )


def _span_json(span: SpanNode) -> SpanJson:
    return SpanJson(
        span_id=span.id,
        parent_span_id=span.parent_id,
        name=span.name,
        kind=span.kind,
        source=span.source,
        attempt=span.attempt,
        started_at=_moment(span.started_ns),
        duration_s=span.duration_s,
        error=span.error,
        attributes=dict(span.attributes),
        events=[
            SpanEventJson(name=event["name"], at=_moment(event["at_ns"]), attributes=dict(event["attributes"]))
            for event in span.events
        ],
        children=[_span_json(child) for child in span.children],
    )


def _moment(ns: int | None) -> datetime | None:
    return None if ns is None else datetime.fromtimestamp(ns / _NS, UTC)
