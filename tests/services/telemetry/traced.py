"""A tracer for tests: time that counts up, ids in order, and what was kept."""

from collections.abc import Sequence
from itertools import count

from services.telemetry.recorded import RecordedSpan, RecordedTrace
from services.telemetry.tracing import TracePolicy, Tracer

EVERYTHING = TracePolicy(sample_rate=1.0)
NOTHING_BUT = TracePolicy(sample_rate=1e-12)
"""Nothing is sampled, but what is worth it is kept."""


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.traces: list[RecordedTrace] = []

    def add(self, trace: RecordedTrace) -> None:
        self.traces.append(trace)

    @property
    def spans(self) -> list[RecordedSpan]:
        return [span for trace in self.traces for span in trace.spans]

    def named(self, start: str) -> list[RecordedSpan]:
        """The spans whose names begin so."""
        return [span for span in self.spans if span.name.startswith(start)]

    def one(self, start: str) -> RecordedSpan:
        [span] = self.named(start)
        return span


class Now:
    """Seconds that pass by hand, and nanoseconds of which each reading is a later one."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ticks = count(1_000_000_000)

    def __call__(self) -> float:
        return self.seconds

    def ns(self) -> int:
        return next(self._ticks)


def a_tracer(source: str, *sinks: Kept, policy: TracePolicy = EVERYTHING, now: Now | None = None) -> Tracer:
    now = now or Now()
    return Tracer(source, sinks, policy, now_ns=now.ns, clock=now)


def names(spans: Sequence[RecordedSpan]) -> list[str]:
    return [span.name for span in spans]
