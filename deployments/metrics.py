"""Ray's own exporter behind our interface: every node serves what its replicas record, on Ray's metrics port."""

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge, Histogram

from services.telemetry.metrics import METRICS, Metric


class RayMeter:
    """Implements `services.telemetry.metrics.Meter`. One per replica: the instruments are made when it is."""

    def __init__(self) -> None:
        self._counters = {
            metric.name: Counter(metric.name, metric.description, tag_keys=metric.labels)
            for metric in METRICS.values()
            if metric.kind == "counter"
        }
        self._histograms = {
            metric.name: Histogram(
                metric.name, metric.description, boundaries=list(metric.buckets), tag_keys=metric.labels
            )
            for metric in METRICS.values()
            if metric.kind == "histogram"
        }

        self._gauges = {
            metric.name: Gauge(metric.name, metric.description, tag_keys=metric.labels)
            for metric in METRICS.values()
            if metric.kind == "gauge"
        }

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        if metric.kind == "counter":
            self._counters[metric.name].inc(value, tags=dict(labels))
        elif metric.kind == "gauge":
            self._gauges[metric.name].set(value, tags=dict(labels))
        else:
            self._histograms[metric.name].observe(value, tags=dict(labels))
