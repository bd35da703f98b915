"""A meter that adds counters up and passes the sums on once a second.

An exporter takes some microseconds for one addition, however small (docs/metrics.md has the figures), and a flood of refused
requests is counted one by one. Observations and gauges pass at once: an exporter has no cheaper way to take several.
"""

from collections.abc import Callable, Mapping

from services.runs.buffer import Timer, call_later
from services.telemetry.metrics import Meter, Metric

FLUSH_EVERY_S = 1.0


class SummingMeter:
    """Implements `Meter` before another one. Nothing is lost if `close` is called in the end; it may be used after that.

    What it keeps is one number for each series, so it is as bounded as the labels are.
    """

    def __init__(
        self,
        to: Meter,
        *,
        every_s: float = FLUSH_EVERY_S,
        call_later: Callable[[float, Callable[[], None]], Timer] = call_later,
    ) -> None:
        self._to = to
        self._every_s = every_s
        self._call_later = call_later
        self._series: dict[tuple[object, ...], _Series] = {}
        self._timer: Timer | None = None

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        if metric.kind != "counter":
            self._to.record(metric, value, labels)
            return
        key = (metric.name, *labels.items())
        if (series := self._series.get(key)) is None:
            series = self._series[key] = _Series(metric, labels)
        series.sum += value
        if self._timer is None:
            self._timer = self._call_later(self._every_s, self.flush)

    def flush(self) -> None:
        """Pass on what was added since the last time."""
        self._timer = None
        for series in self._series.values():
            if series.sum:
                self._to.record(series.metric, series.sum, series.labels)
                series.sum = 0.0

    def close(self) -> None:
        """Pass on the rest, for a replica that ends."""
        if self._timer is not None:
            self._timer.cancel()
        self.flush()


class _Series:
    __slots__ = ("labels", "metric", "sum")

    def __init__(self, metric: Metric, labels: Mapping[str, str]) -> None:
        self.metric = metric
        self.labels = dict(labels)
        self.sum = 0.0
