"""What a load run is asked for, and what it found: the two values that cross the client process's pipe."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import orjson

NONCE = "@@"
"""Replaced in the body by a number that differs from reply to reply, so that nothing is answered from a cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """N streams in closed loop: a stream that ends is replaced at once."""

    url: str
    body: str
    """JSON; NONCE in it is replaced."""
    headers: Mapping[str, str] = field(default_factory=dict)
    streams: int
    tokens: int
    """Tokens of one complete reply; fewer is an error."""
    warm_up_s: float = 0.0
    """Streams start spread evenly over this time; nothing is counted before its end."""
    window_s: float | None = None
    """How long is counted; streams open at its end are read to theirs."""
    replies: int | None = None
    """Instead of a window: so many replies in all, all of them counted."""
    stall_s: float = 15.0
    """A stream without a byte for so long is given up as `stalled`."""

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        return cls(**orjson.loads(data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Milliseconds; NaN of nothing."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the client measured inside its window."""

    elapsed_s: float
    tokens: int
    replies: int
    ttft: Percentiles
    """From the request's last byte written to the first token read."""
    added_ttft: Percentiles
    """The same less the time that the upstream itself took, by its own stamps."""
    lag: Percentiles
    """Per token, from the upstream's write to the client's read."""
    peak_open: int
    errors: Mapping[str, int]
    """By kind; empty when all replies were complete."""
    client_cpu_s: float

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.elapsed_s if self.elapsed_s else 0.0

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        value: dict[str, Any] = orjson.loads(data)
        for name in ("ttft", "added_ttft", "lag"):
            value[name] = Percentiles(
                **{key: float("nan") if item is None else item for key, item in value[name].items()}
            )
        return cls(**value)
