"""Which traces are kept, and where they go.

A run's spans are kept in a bounded list until it has ended, and only then is it decided whether anybody is to have them: those
of a run that failed are worth more than the rate says, and nobody knows before. What is dropped has cost some microseconds.
Where they go is a `TraceSink`'s to know: the run's own record (`services.telemetry.span_writer`), and OpenTelemetry
(`services.telemetry.otlp`), the one module that imports it.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.telemetry.recorded import RecordedTrace
from services.telemetry.spans import UNTRACED, Trace
from services.telemetry.trace_context import RandomBits, TraceContext, within


class TraceSink(Protocol):
    """Where traces go that are kept. Must neither wait nor raise; a full one drops and counts."""

    def add(self, trace: RecordedTrace) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePolicy:
    """`sample_rate` is the share of runs whose trace is kept; with 0 nothing is traced.

    What is kept besides is `max_extra_per_s` a second at most of what clients asked for, and as much of what went wrong, per
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
        self._asked = _Extra(policy.max_extra_per_s, clock)
        self._gone_wrong = _Extra(policy.max_extra_per_s, clock)
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
        sampled = given.sampled and (self._asked.take() or within(given.trace_id, self.sample_rate))
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
        if not trace.context.sampled and not (trace.worth_keeping and self._gone_wrong.take()):
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
