"""The spans of a run while nobody knows yet whether somebody will want them: a bounded list, at a microsecond each."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

from services.telemetry import genai
from services.telemetry.spans import NO_SPAN, Attributes, Kind, Span, error_code
from services.telemetry.trace_context import RandomBits, TraceContext, new_span_id

MAX_EVENTS = 64
"""Of one span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanEvent:
    name: str
    at_ns: int
    attributes: Attributes


class RecordedSpan:
    """Implements `Span`. Times are nanoseconds of Unix time; `error` is a code of ours, or an exception's name.

    What only those spans need that are kept is made when it is asked for: most are not.
    """

    __slots__ = (
        "_id",
        "_now_ns",
        "_parent",
        "_random_bits",
        "attributes",
        "ended_ns",
        "error",
        "events",
        "kind",
        "name",
        "started_ns",
    )

    def __init__(
        self,
        name: str,
        attributes: Attributes,
        kind: Kind,
        parent: "RecordedSpan | str",
        span_id: str,
        now_ns: Callable[[], int],
        random_bits: RandomBits,
    ) -> None:
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.started_ns = now_ns()
        self.ended_ns: int | None = None
        self.error: str | None = None
        self.events: list[SpanEvent] | None = None
        self._parent = parent
        self._id = span_id
        self._now_ns = now_ns
        self._random_bits = random_bits

    @property
    def id(self) -> str:
        if not self._id:
            self._id = new_span_id(self._random_bits)
        return self._id

    @property
    def parent_id(self) -> str | None:
        """None where there is no span above it."""
        return (self._parent if isinstance(self._parent, str) else self._parent.id) or None

    def set(self, attributes: Attributes) -> None:
        self.attributes = {**self.attributes, **attributes}

    def event(self, name: str, attributes: Attributes) -> None:
        if self.events is None:
            self.events = []
        if len(self.events) < MAX_EVENTS:
            self.events.append(SpanEvent(name=name, at_ns=self._now_ns(), attributes=attributes))

    def end(self, error: str | None = None) -> None:
        if self.ended_ns is None:
            self.ended_ns, self.error = self._now_ns(), error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.ended_ns is None:
            self.ended_ns = self._now_ns()
            if error is not None:
                self.error = error_code(error)


class RecordedTrace:
    """Implements `Trace`. `source` names the part of Mainstay, `attempt` which one at the run, 0 for none."""

    __slots__ = (
        "_now_ns",
        "_random_bits",
        "attempt",
        "closed",
        "context",
        "dropped",
        "limit",
        "run_id",
        "source",
        "spans",
        "worth_keeping",
    )

    def __init__(
        self,
        context: TraceContext,
        *,
        source: str,
        attempt: int,
        limit: int,
        now_ns: Callable[[], int],
        random_bits: RandomBits,
    ) -> None:
        self.context = context
        self.source = source
        self.attempt = attempt
        self.limit = limit
        self.run_id: UUID | None = None
        self.spans: list[RecordedSpan] = []
        self.dropped = 0
        """Spans that were one too many."""
        self.worth_keeping = False
        self.closed = False
        """Nothing is added any more: somebody may be writing it."""
        self._now_ns = now_ns
        self._random_bits = random_bits

    @property
    def trace_id(self) -> str:
        return self.context.trace_id

    @property
    def handed_on(self) -> str | None:
        return self.context.traceparent_at(self.spans[0].id) if self.spans else None

    def begin(self, name: str, attributes: Attributes, *, kind: Kind = Kind.INTERNAL, span_id: str = "") -> Span:
        if self.closed or len(self.spans) >= self.limit:
            self.dropped += not self.closed
            return NO_SPAN
        spans = self.spans
        parent = spans[0] if spans else self.context.span_id
        span = RecordedSpan(name, attributes, kind, parent, span_id, self._now_ns, self._random_bits)
        spans.append(span)
        return span

    def event(self, name: str, attributes: Attributes) -> None:
        if self.spans:
            self.spans[0].event(name, attributes)

    def of(self, run_id: UUID) -> None:
        self.run_id = run_id

    def keep(self) -> None:
        self.worth_keeping = True

    def traceparent(self, span: Span) -> str | None:
        if not self.context.sampled or not isinstance(span, RecordedSpan):
            return None
        return self.context.traceparent_at(span.id)

    def close(self) -> None:
        """End the spans that nobody has ended: their work was left, or goes on without the trace."""
        self.closed = True
        for span in self.spans:
            if span.ended_ns is None:
                span.end()
                span.set({genai.UNFINISHED: True})
