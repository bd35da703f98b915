"""The trace of a run as one tree, from the parts that its processes have stored; without them from the run's own record."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from services.events import RunEvent, ToolFinished, ToolStarted
from services.runs.ports import RunLog, RunStore
from services.samples import Score
from services.telemetry import genai
from services.telemetry.span_writer import StoredTrace, TraceStore
from services.telemetry.trace_context import TraceContext, attempt_span_id
from services.types import EventId, Principal, Run

RECORD = "record"
"""The source of what is made of a run's record."""
MAX_PAGES = 50
"""Of a run's log, which are read for its tools."""
_NS = 1_000_000_000


ScoresOfRun = Callable[[Principal, UUID], Awaitable[Sequence[Score]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanNode:
    """A span with those below it, in the order of their starts. Times are Unix time in nanoseconds; `started_ns` is None where
    only the duration is known.
    """

    id: str
    parent_id: str | None
    name: str
    kind: str
    source: str
    attempt: int
    started_ns: int | None
    duration_s: float | None
    error: str | None
    attributes: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...] = ()
    children: tuple["SpanNode", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTrace:
    """`spans` are roots: one, unless a process did not live to store its part. `sampled` says that spans were kept; otherwise
    they are made of the run's record. `dropped` counts spans that were one too many.
    """

    run_id: UUID
    trace_id: str | None
    sampled: bool
    dropped: int
    spans: tuple[SpanNode, ...]


class RunTraces:
    """Traces of runs, for whom the runs belong to."""

    def __init__(self, *, runs: RunStore, log: RunLog, traces: TraceStore, scores: ScoresOfRun) -> None:
        self._runs = runs
        self._log = log
        self._traces = traces
        self._scores = scores

    async def of(self, principal: Principal, run_id: UUID) -> RunTrace:
        """Return the trace of a run of the principal's. Raises NotFound and StoreUnavailable."""
        run = await self._runs.get(principal, run_id)
        parts = await self._traces.of_run(run_id)
        scores = await self._scores(principal, run_id)
        if parts:
            return trace_of(run, parts, scores)
        context = TraceContext.parse(run.traceparent)
        root = coarse(run, [event async for event in self._tools(run_id)])
        return RunTrace(
            run_id=run_id,
            trace_id=None if context is None else context.trace_id,
            sampled=False,
            dropped=0,
            spans=(_judged(root, run, scores),),
        )

    async def _tools(self, run_id: UUID) -> AsyncIterator[RunEvent]:
        after: EventId | None = None
        for _ in range(MAX_PAGES):
            page = (await self._log.read({run_id: after})).get(run_id)
            if page is None or not page.batches:
                return
            for batch in page.batches:
                for event in batch.events:
                    if isinstance(event, ToolStarted | ToolFinished):
                        yield event
            after = page.batches[-1].last


def trace_of(run: Run, parts: Sequence[StoredTrace], scores: Sequence[Score]) -> RunTrace:
    """Put the parts of a trace together, with the run's scores on its last attempt."""
    bodies = [(part, orjson.loads(part.body)) for part in parts]
    spans = [_span(part, span) for part, body in bodies for span in body["spans"]]
    return RunTrace(
        run_id=run.id,
        trace_id=bodies[0][1]["trace_id"],
        sampled=True,
        dropped=sum(body["dropped"] for _, body in bodies),
        spans=tuple(_judged(root, run, scores) for root in _tree(spans)),
    )


def coarse(run: Run, events: Iterable[RunEvent]) -> SpanNode:
    """Return what a run's record knows of it: how long it took, what it used, and its tools with how long each took."""
    usage = run.usage
    attributes: dict[str, Any] = {
        genai.OPERATION_NAME: genai.INVOKE_AGENT,
        genai.AGENT_NAME: run.graph,
        genai.CONVERSATION_ID: str(run.thread_id),
        genai.RUN_ID: str(run.id),
        genai.RUN_STATUS: run.status.value,
        genai.ATTEMPT: run.attempt,
        genai.MODEL_CALLS: usage.model_calls,
        genai.USAGE_INPUT_TOKENS: usage.input_tokens,
        genai.USAGE_OUTPUT_TOKENS: usage.output_tokens,
    }
    node = SpanNode(
        id=attempt_span_id(run.id, run.attempt),
        parent_id=None,
        name=f"{genai.INVOKE_AGENT} {run.graph}",
        kind="internal",
        source=RECORD,
        attempt=run.attempt,
        started_ns=_ns(run.started_at or run.created_at),
        duration_s=_seconds(run.started_at or run.created_at, run.finished_at),
        error=None if run.failure is None else run.failure.code,
        attributes=attributes,
    )
    tools = [event for event in events if isinstance(event, ToolFinished)]
    return replace(node, children=tuple(_tool(node, number, tool) for number, tool in enumerate(tools, 1)))


def _tool(run: SpanNode, number: int, tool: ToolFinished) -> SpanNode:
    return SpanNode(
        id=f"{(int(run.id, 16) + (number << 16)) % (1 << 64):016x}",
        parent_id=run.id,
        name=f"{genai.EXECUTE_TOOL} {tool.name}",
        kind="internal",
        source=RECORD,
        attempt=run.attempt,
        started_ns=None,
        duration_s=tool.duration_s,
        error=None if tool.ok else "error",
        attributes={
            genai.OPERATION_NAME: genai.EXECUTE_TOOL,
            genai.TOOL_NAME: tool.name,
            genai.TOOL_CALL_ID: tool.call_id,
        },
    )


def _span(part: StoredTrace, span: Mapping[str, Any]) -> SpanNode:
    started, ended = span["started_ns"], span["ended_ns"]
    return SpanNode(
        id=span["id"],
        parent_id=span["parent_id"],
        name=span["name"],
        kind=span["kind"],
        source=part.source,
        attempt=part.attempt,
        started_ns=started,
        duration_s=(ended - started) / _NS,
        error=span["error"],
        attributes=span["attributes"],
        events=tuple(span["events"]),
    )


def _tree(spans: Sequence[SpanNode]) -> Sequence[SpanNode]:
    """Return the spans whose parent is none of them, with all others below them."""
    below: dict[str | None, list[SpanNode]] = {}
    known = {span.id for span in spans}
    for span in sorted(spans, key=lambda span: span.started_ns or 0):
        below.setdefault(span.parent_id if span.parent_id in known else None, []).append(span)

    def grown(span: SpanNode) -> SpanNode:
        # Ids are taken out as they are met, so that spans which claim to be each other's parents end somewhere.
        return replace(span, children=tuple(map(grown, below.pop(span.id, ()))))

    return [grown(span) for span in below.pop(None, [])]


def _judged(span: SpanNode, run: Run, scores: Sequence[Score]) -> SpanNode:
    """Put the scores on the span of the run's last attempt."""
    if not scores:
        return span
    if span.id == attempt_span_id(run.id, run.attempt):
        return replace(span, events=(*span.events, *map(evaluation, scores)))
    return replace(span, children=tuple(_judged(child, run, scores) for child in span.children))


def evaluation(score: Score) -> Mapping[str, Any]:
    """Return a score as the event that the conventions have for it; what was not scored has no value."""
    attributes: dict[str, Any] = {
        genai.EVALUATION_NAME: score.criterion,
        genai.EVALUATION_EXPLANATION: score.reason,
        genai.RESPONSE_MODEL: score.judge_model,
    }
    if score.value is not None:
        attributes[genai.EVALUATION_SCORE_VALUE] = score.value
    if score.flagged:
        attributes[genai.EVALUATION_FLAGGED] = True
    return {"name": genai.EVALUATION_RESULT, "at_ns": None, "attributes": attributes}


def _ns(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * _NS)


def _seconds(begun: datetime | None, ended: datetime | None) -> float | None:
    return None if begun is None or ended is None else (ended - begun).total_seconds()
