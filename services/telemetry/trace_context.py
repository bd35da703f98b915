"""Where in which trace something happens, as the W3C writes it (Trace Context, https://www.w3.org/TR/trace-context/).

It travels as data, in a header, a run's row or a sample, never as ambient state: a run that another replica takes over a
minute later goes on in the same trace.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

_SAMPLED = 0x01
_RANDOM_DIGITS = 14
"""Of a trace id: the 56 bits on the right, which level 2 of the specification wants to be random."""
# Later versions may append fields, which are not ours to read; version ff is none.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
MAX_CHARS = 128

RandomBits = Callable[[int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """A span of a trace, by its id in hexadecimal, and whether that trace is being collected."""

    trace_id: str
    span_id: str
    sampled: bool

    @classmethod
    def parse(cls, traceparent: str | None) -> "TraceContext | None":
        """Read a `traceparent`; None for whatever is not one, which the specification says to ignore."""
        match = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent[:MAX_CHARS])
        if match is None or (match[1] == "00" and match[5] is not None):
            return None
        return cls(trace_id=match[2], span_id=match[3], sampled=bool(int(match[4], 16) & _SAMPLED))

    @classmethod
    def new(cls, random_bits: RandomBits, rate: float) -> "TraceContext":
        """Begin a trace, sampled if it is of the share `rate`. It has no span yet."""
        trace_id = f"{random_bits(128) or 1:032x}"
        return cls(trace_id=trace_id, span_id="", sampled=within(trace_id, rate))

    @property
    def traceparent(self) -> str:
        return self.traceparent_at(self.span_id)

    def traceparent_at(self, span_id: str) -> str:
        """Return the `traceparent` of another span of the trace."""
        return f"00-{self.trace_id}-{span_id}-{'01' if self.sampled else '00'}"


def within(trace_id: str, rate: float) -> bool:
    """Whether a trace is of the share `rate` of all traces. Whoever is asked decides alike."""
    return int(trace_id[-_RANDOM_DIGITS:], 16) < rate * (1 << 4 * _RANDOM_DIGITS)


def new_span_id(random_bits: RandomBits) -> str:
    return f"{random_bits(64) or 1:016x}"


def attempt_span_id(run_id: UUID, attempt: int) -> str:
    """The id of the span of an attempt at a run, which whoever knows the run can say: its judge, and the attempt after it."""
    return f"{(run_id.int + attempt) % (1 << 64) or 1:016x}"
