"""Ray's own exporter behind our interface: every node serves what its replicas record, on Ray's metrics port."""

from collections.abc import Callable, Mapping

from ray.util.metrics import Counter, Gauge, Histogram

from services.telemetry.metrics import METRICS, Metric
from services.telemetry.summing import SummingMeter


class RayMeter:
    """Implements `services.telemetry.metrics.Meter`. One per replica: the instruments are made when it is."""

    def __init__(self) -> None:
        self._write = {metric.name: _writer(metric) for metric in METRICS.values()}

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        if value > 0.0 or metric.kind != "counter":  # Ray refuses to add nothing
            self._write[metric.name](value, dict(labels))


def open_meter() -> SummingMeter:
    """Return the meter of a replica, which closes it when it ends."""
    return SummingMeter(RayMeter())


def _writer(metric: Metric) -> Callable[[float, dict[str, str]], object]:
    """Return the one method of a metric's instrument that takes a value."""
    name, said, labels = metric.name, metric.description, metric.labels
    if metric.kind == "counter":
        return Counter(name, said, tag_keys=labels).inc
    if metric.kind == "histogram":
        return Histogram(name, said, boundaries=list(metric.buckets), tag_keys=labels).observe
    return Gauge(name, said, tag_keys=labels).set
