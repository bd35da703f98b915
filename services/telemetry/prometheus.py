"""prometheus_client behind our interface, for what runs outside Ray: commands, sidecars, tests.

In a replica it would have no address of its own that anybody could scrape; there Ray exports.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.telemetry.metrics import METRICS, Metric


class PrometheusMeter:
    """Implements `Meter`. The series are in `registry`, under the names of the catalogue: without Ray's prefix and labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._instruments = {metric.name: _instrument(metric, registry) for metric in METRICS.values()}

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        instrument = self._instruments[metric.name]
        series = instrument.labels(**labels) if metric.labels else instrument
        if isinstance(series, Counter):
            series.inc(value)
        elif isinstance(series, Histogram):
            series.observe(value)
        else:
            series.set(value)


def _instrument(metric: Metric, registry: CollectorRegistry) -> Counter | Histogram | Gauge:
    name, said, labels = metric.name, metric.description, metric.labels
    if metric.kind == "counter":
        return Counter(name, said, labels, registry=registry)
    if metric.kind == "histogram":
        return Histogram(name, said, labels, buckets=metric.buckets, registry=registry)
    return Gauge(name, said, labels, registry=registry)
