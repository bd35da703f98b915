"""The meter that adds counters up: nothing is lost, and everything else passes at once."""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.telemetry.metrics import MODEL_LIMIT, RUN_DURATION, RUNS
from services.telemetry.summing import SummingMeter
from tests.services.telemetry.fakes import KeptMeter

COMPLETED = {"graph": "react", "status": "completed", "code": "none"}
FAILED = {"graph": "react", "status": "failed", "code": "model_timeout"}


@dataclass
class Timers:
    """Implements `call_later` and its `Timer`; `ring` is the time passing."""

    due: list[Callable[[], None]] = field(default_factory=list)

    def __call__(self, delay_s: float, callback: Callable[[], None]) -> "Timers":
        assert delay_s == 1.0
        self.due.append(callback)
        return self

    def cancel(self) -> None:
        self.due.clear()

    def ring(self) -> None:
        [callback] = self.due
        self.due.clear()
        callback()


def test_additions_go_on_as_one_for_each_series() -> None:
    """However many there are; a series that nothing was added to is not passed on again."""
    timers, exporter = Timers(), KeptMeter()
    meter = SummingMeter(exporter, call_later=timers)
    for _ in range(3):
        meter.record(RUNS, 1.0, COMPLETED)
    meter.record(RUNS, 1.0, FAILED)
    assert exporter.seen == []
    timers.ring()
    assert exporter.seen == [("mainstay_runs", 3.0, COMPLETED), ("mainstay_runs", 1.0, FAILED)]
    exporter.seen.clear()
    meter.record(RUNS, 1.0, FAILED)
    timers.ring()
    assert exporter.seen == [("mainstay_runs", 1.0, FAILED)]
    assert timers.due == []


def test_observations_and_gauges_pass_at_once() -> None:
    """They cannot be added up."""
    timers, exporter = Timers(), KeptMeter()
    meter = SummingMeter(exporter, call_later=timers)
    meter.record(RUN_DURATION, 1.5, {"graph": "react"})
    meter.record(MODEL_LIMIT, 20.0, {"provider": "openai"})
    assert [(name, value) for name, value, _ in exporter.seen] == [
        ("mainstay_run_duration_seconds", 1.5),
        ("mainstay_model_limit_calls", 20.0),
    ]
    assert timers.due == []


def test_nothing_is_lost_at_the_end() -> None:
    """Closing passes on the rest, and what comes after it is passed on all the same."""
    timers, exporter = Timers(), KeptMeter()
    meter = SummingMeter(exporter, call_later=timers)
    meter.record(RUNS, 2.0, COMPLETED)
    meter.close()
    assert exporter.seen == [("mainstay_runs", 2.0, COMPLETED)]
    assert timers.due == []
    meter.record(RUNS, 1.0, COMPLETED)
    timers.ring()
    assert sum(value for _, value, _ in exporter.seen) == 3.0


def test_labels_that_change_later_are_not_looked_at() -> None:
    """Whoever records may use its dictionary again."""
    timers, exporter = Timers(), KeptMeter()
    meter = SummingMeter(exporter, call_later=timers)
    labels = dict(COMPLETED)
    meter.record(RUNS, 1.0, labels)
    labels["graph"] = "supervisor"
    meter.close()
    assert exporter.seen == [("mainstay_runs", 1.0, COMPLETED)]
