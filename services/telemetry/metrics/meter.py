"""What a metric is, and where measurements go."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
TOKENS = (16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`buckets` are a histogram's upper bounds."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Meter(Protocol):
    """Where measurements go. Must neither wait nor raise."""

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Add `value` to a counter, observe it in a histogram, or set a gauge to it. `labels` has all that the metric has."""
        ...


class _Unmeasured:
    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Nobody looks."""


UNMEASURED: Meter = _Unmeasured()
"""For what is used outside a replica."""
