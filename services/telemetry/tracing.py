"""Spans: what was done for a run in one process, by whom, for how long, and how it ended.

A run's spans are kept in a bounded list until it has ended, and only then is it decided whether anybody is to have them: those
of a run that failed are worth more than the rate says, and nobody knows before. What is dropped has cost some microseconds.
Where they go is a `TraceSink`'s to know: the run's own record (`services.telemetry.span_writer`), and OpenTelemetry
(`services.telemetry.otlp`), the one module that imports it.

No span ever holds what somebody said: no prompt, no answer, no argument, no result.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from services.errors import MainstayError
from services.telemetry import genai
from services.telemetry.trace_context import RandomBits, TraceContext, new_span_id, within

Value = str | int | float | bool | UUID | Sequence[str]
Attributes = Mapping[str, Value]
"""Whoever gives them away leaves them as they are."""

CANCELLED = "cancelled"


class Kind(StrEnum):
    """On which side of a call a span is."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


class Span(Protocol):
    """Something that takes time. Used with `with`, it ends with the block, and fails with what the block raises."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes, in the place of those of the same names."""
        ...

    def event(self, name: str, attributes: Attributes) -> None:
        """Take note that something happened now."""
        ...

    def end(self, error: str | None = None) -> None:
        """End it, as failed with an error's code. Its first end counts."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Trace(Protocol):
    """The spans of one run in one process."""

    @property
    def trace_id(self) -> str:
        """Its id, for logs; empty where nothing is traced."""
        ...

    @property
    def handed_on(self) -> str | None:
        """The `traceparent` that the run's row is to have, for whoever works for it elsewhere: at the root here."""
        ...

    def begin(self, name: str, attributes: Attributes, *, kind: Kind = Kind.INTERNAL, span_id: str = "") -> Span:
        """Begin a span: the first is the root here, every other one is below it."""
        ...

    def event(self, name: str, attributes: Attributes) -> None:
        """Take note, on the root, that something happened now."""
        ...

    def of(self, run_id: UUID) -> None:
        """Say which run it is."""
        ...

    def keep(self) -> None:
        """Say that it is worth keeping whether it was sampled or not."""
        ...

    def traceparent(self, span: Span) -> str | None:
        """Return what a service that is called within a span is to be told; None while nothing is sampled."""
        ...


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


MAX_EVENTS = 64
"""Of one span."""


def error_code(error: BaseException) -> str:
    """Return what a span fails with: never what an exception says, which may quote anybody."""
    if isinstance(error, MainstayError):
        return error.code
    return CANCELLED if isinstance(error, asyncio.CancelledError) else type(error).__name__


class RecordedTrace:
    """Implements `Trace`. `source` names the part of Mainstay, `attempt` which one at the run, 0 for none."""

    __slots__ = (
        "_now_ns",
        "_random_bits",
        "attempt",
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
        self._now_ns = now_ns
        self._random_bits = random_bits

    @property
    def trace_id(self) -> str:
        return self.context.trace_id

    @property
    def handed_on(self) -> str | None:
        return self.context.traceparent_at(self.spans[0].id) if self.spans else None

    def begin(self, name: str, attributes: Attributes, *, kind: Kind = Kind.INTERNAL, span_id: str = "") -> Span:
        if len(self.spans) >= self.limit:
            self.dropped += 1
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
        """End the spans that nobody has ended: their work was left, or goes on without the run."""
        for span in self.spans:
            if span.ended_ns is None:
                span.end()
                span.set({genai.UNFINISHED: True})


class _NoSpan:
    def set(self, attributes: Attributes) -> None: ...

    def event(self, name: str, attributes: Attributes) -> None: ...

    def end(self, error: str | None = None) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Untraced:
    trace_id = ""
    handed_on = None

    def begin(self, name: str, attributes: Attributes, *, kind: Kind = Kind.INTERNAL, span_id: str = "") -> Span:
        return NO_SPAN

    def event(self, name: str, attributes: Attributes) -> None: ...

    def of(self, run_id: UUID) -> None: ...

    def keep(self) -> None: ...

    def traceparent(self, span: Span) -> str | None:
        return None


NO_SPAN: Span = _NoSpan()
UNTRACED: Trace = _Untraced()
"""For what is not traced. Both have no state."""


class TraceSink(Protocol):
    """Where traces go that are kept. Must neither wait nor raise; a full one drops and counts."""

    def add(self, trace: RecordedTrace) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePolicy:
    """`sample_rate` is the share of runs whose trace is kept; with 0 nothing is traced.

    What is kept besides, because its client asked for it or because it went wrong, is `max_extra_per_s` a second at most, per
    replica; so much at once too. A process keeps `max_spans` of a run.
    """

    sample_rate: float = 0.01
    max_extra_per_s: float = 5.0
    max_spans: int = 256


class Tracer:
    """What one replica traces. `sample_rate` may be changed at any time; it counts where a run comes in."""

    def __init__(
        self,
        source: str,
        sinks: Sequence[TraceSink] = (),
        policy: TracePolicy = TracePolicy(),
        *,
        now_ns: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
        random_bits: RandomBits = random.getrandbits,
    ) -> None:
        self.source = source
        self.sample_rate = policy.sample_rate
        self._sinks = tuple(sinks)
        self._max_spans = policy.max_spans
        self._extra = _Extra(policy.max_extra_per_s, clock)
        self._now_ns = now_ns
        self._random_bits = random_bits

    def come_in(self, traceparent: str | None) -> Trace:
        """Begin the part of a trace that a request is, within its client's where that has one.

        A client that does not sample its trace does not have ours sampled either. One that does is obeyed within the limit of
        what is kept besides, and beyond it the rate decides.
        """
        if self.sample_rate <= 0.0:
            return UNTRACED
        given = TraceContext.parse(traceparent)
        if given is None:
            return self._trace(TraceContext.new(self._random_bits, self.sample_rate))
        sampled = given.sampled and (self._extra.take() or within(given.trace_id, self.sample_rate))
        return self._trace(TraceContext(trace_id=given.trace_id, span_id=given.span_id, sampled=sampled))

    def go_on(self, traceparent: str | None, *, run_id: UUID, attempt: int = 0) -> Trace:
        """Go on with a run's trace as its row has it; without one nothing is traced."""
        context = TraceContext.parse(traceparent)
        if context is None:
            return UNTRACED
        trace = self._trace(context, attempt)
        trace.of(run_id)
        return trace

    def end(self, trace: Trace) -> bool:
        """Decide what becomes of a trace, and return whether it is kept. Nothing is added to it any more."""
        if not isinstance(trace, RecordedTrace):
            return False
        if not trace.context.sampled and not (trace.worth_keeping and self._extra.take()):
            return False
        trace.close()
        for sink in self._sinks:
            sink.add(trace)
        return True

    def _trace(self, context: TraceContext, attempt: int = 0) -> RecordedTrace:
        return RecordedTrace(
            context,
            source=self.source,
            attempt=attempt,
            limit=self._max_spans,
            now_ns=self._now_ns,
            random_bits=self._random_bits,
        )


class _Extra:
    """A bucket that `per_s` tokens come into each second and that holds as many, and one at least; full at first."""

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._most = max(per_s, 1.0) if per_s > 0.0 else 0.0
        self._clock = clock
        self._left = self._most
        self._at = clock()

    def take(self) -> bool:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


NOT_TRACING = Tracer("", policy=TracePolicy(sample_rate=0.0))
"""For what is used outside a replica."""
