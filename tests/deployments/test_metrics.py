"""Both exporters behind one interface: what is recorded is what they hold, for every metric of the catalogue."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from prometheus_client import CollectorRegistry

from deployments.metrics import RayMeter
from services.telemetry.metrics import METRICS, Meter, Metric
from services.telemetry.prometheus import PrometheusMeter
from services.telemetry.summing import SummingMeter


class Reading(Protocol):
    """A meter and what its exporter holds."""

    meter: Meter

    def value(self, metric: Metric, labels: Mapping[str, str]) -> float:
        """Return a counter's total, a gauge's value, or how many observations a histogram holds."""
        ...


class OfPrometheus:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.meter: Meter = PrometheusMeter(self.registry)

    def value(self, metric: Metric, labels: Mapping[str, str]) -> float:
        suffix = {"counter": "_total", "histogram": "_count", "gauge": ""}[metric.kind]
        return self.registry.get_sample_value(metric.name + suffix, dict(labels)) or 0.0


@dataclass
class Native:
    """Stands for Ray's C++ instrument, which cannot be read in its own process: the last that is ours to see."""

    recorded: dict[tuple[tuple[str, str], ...], list[float]] = field(default_factory=lambda: defaultdict(list))

    def record(self, value: float, tags: Mapping[str, str]) -> None:
        self.recorded[tuple(sorted(tags.items()))].append(value)


class OfRay:
    def __init__(self) -> None:
        meter = RayMeter()
        self.meter: Meter = meter
        self.natives = {name: Native() for name in METRICS}
        for name, write in meter._write.items():
            write.__self__._metric = self.natives[name]  # type: ignore[attr-defined]

    def value(self, metric: Metric, labels: Mapping[str, str]) -> float:
        values = self.natives[metric.name].recorded[tuple(sorted(labels.items()))]
        return {"counter": sum(values), "histogram": len(values), "gauge": values[-1] if values else 0.0}[metric.kind]


class OfRaySummed(OfRay):
    """As a replica uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.summing = SummingMeter(self.meter, call_later=lambda *_: self)
        self.meter = self.summing

    def cancel(self) -> None: ...

    def value(self, metric: Metric, labels: Mapping[str, str]) -> float:
        self.summing.close()
        return super().value(metric, labels)


@pytest.fixture(params=[OfPrometheus, OfRay, OfRaySummed])
def reading(request: pytest.FixtureRequest) -> Reading:
    made: Reading = request.param()
    return made


def test_every_metric_can_be_recorded(reading: Reading) -> None:
    """Counters add up, gauges are set, histograms count their observations, each series by itself."""
    for metric in METRICS.values():
        labels, others = dict.fromkeys(metric.labels, "one"), dict.fromkeys(metric.labels, "other")
        for value in (2.0, 0.5):
            reading.meter.record(metric, value, labels)
        assert reading.value(metric, labels) == {"counter": 2.5, "histogram": 2, "gauge": 0.5}[metric.kind], metric
        if metric.labels:
            assert reading.value(metric, others) == 0.0


def test_nothing_is_a_value_too(reading: Reading) -> None:
    """Adding 0 changes no counter, and raises nothing; a gauge of 0 and an observation of 0 count."""
    for metric in METRICS.values():
        labels = dict.fromkeys(metric.labels, "one")
        reading.meter.record(metric, 3.0, labels)
        reading.meter.record(metric, 0.0, labels)
        assert reading.value(metric, labels) == {"counter": 3.0, "histogram": 2, "gauge": 0.0}[metric.kind], metric
