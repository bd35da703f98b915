"""prometheus_client behind our interface, for what runs outside Ray: commands, sidecars, tests.

In a replica it would have no address of its own that anybody could scrape; there Ray exports.
"""

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, write_to_textfile

from services.telemetry.metrics import Metric


class PrometheusMeter:
    """Implements `Meter`. What was recorded is in `registry`, under the names of the catalogue: without Ray's prefix."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._instruments: dict[str, Counter | Histogram | Gauge] = {}

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        if (instrument := self._instruments.get(metric.name)) is None:
            instrument = self._instruments[metric.name] = _instrument(metric, self.registry)
        series = instrument.labels(**labels) if metric.labels else instrument
        if isinstance(series, Counter):
            series.inc(value)
        elif isinstance(series, Histogram):
            series.observe(value)
        else:
            series.set(value)

    def write(self, path: Path) -> None:
        """Write the series to a file, at once or not at all, for the node exporter's textfile collector. Raises OSError."""
        write_to_textfile(str(path), self.registry)


def _instrument(metric: Metric, registry: CollectorRegistry) -> Counter | Histogram | Gauge:
    name, said, labels = metric.name, metric.description, metric.labels
    if metric.kind == "counter":
        return Counter(name, said, labels, registry=registry)
    if metric.kind == "histogram":
        return Histogram(name, said, labels, buckets=metric.buckets, registry=registry)
    return Gauge(name, said, labels, registry=registry)
