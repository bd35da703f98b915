"""A meter that keeps what it is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.telemetry.metrics import Metric


@dataclass
class KeptMeter:
    """Implements `Meter`."""

    seen: list[tuple[str, float, Mapping[str, str]]] = field(default_factory=list)

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        assert set(labels) == set(metric.labels)
        self.seen.append((metric.name, value, labels))

    def of(self, metric: Metric) -> list[tuple[float, Mapping[str, str]]]:
        """Return what was recorded of one metric."""
        return [(value, labels) for name, value, labels in self.seen if name == metric.name]
