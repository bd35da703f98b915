"""What slow is measured against."""

import pytest

from services.resilience.baseline import BATCH, LatencyBaseline
from services.resilience.breaker import BreakerState
from tests.services.resilience.breakers import a_breaker, succeed
from tests.services.runs.fakes import FakeClock


def fed(baseline: LatencyBaseline, latencies: list[float]) -> LatencyBaseline:
    for latency_s in latencies:
        baseline.add(latency_s)
    return baseline


def test_nothing_is_known_before_the_first_batch() -> None:
    """A handful of calls is no baseline."""
    assert fed(LatencyBaseline(), [1.0] * (BATCH - 1)).p95_s == 0.0


def test_the_first_batch_sets_it() -> None:
    """The first p95 is taken as it is: there is nothing to smooth it with."""
    latencies = [float(number) for number in range(1, BATCH + 1)]
    assert fed(LatencyBaseline(), latencies[::-1]).p95_s == 31.0


def test_one_outlier_in_a_batch_does_not_count() -> None:
    """The slowest of thirty-two calls is beyond the p95."""
    assert fed(LatencyBaseline(), [1.0] * (BATCH - 1) + [60.0]).p95_s == 1.0


def test_later_batches_move_it_by_a_fifth() -> None:
    """A batch that is slower moves the baseline by 20 % of the difference."""
    baseline = fed(LatencyBaseline(), [1.0] * BATCH)
    assert fed(baseline, [2.0] * BATCH).p95_s == pytest.approx(1.2)
    assert fed(baseline, [2.0] * BATCH).p95_s == pytest.approx(1.36)


def test_it_says_when_it_has_changed() -> None:
    """Whoever derives something from it need look only then."""
    baseline = LatencyBaseline()
    assert [baseline.add(1.0) for _ in range(BATCH)] == [False] * (BATCH - 1) + [True]


def test_slow_is_four_times_the_baseline() -> None:
    """Where healthy calls take 2 s at the 95th percentile, 8 s is not slow and more is."""
    breaker = a_breaker(FakeClock())
    succeed(breaker, BATCH, latency_s=2.0)
    assert breaker.slow_after_s == pytest.approx(8.0)


def test_slow_is_never_less_than_the_floor() -> None:
    """A fast upstream is not slow at four times nothing."""
    breaker = a_breaker(FakeClock())
    assert breaker.slow_after_s == 5.0
    succeed(breaker, BATCH, latency_s=0.1)
    assert breaker.slow_after_s == 5.0


def test_slow_calls_do_not_become_the_measure() -> None:
    """However many calls are slow, what slow means stays."""
    breaker = a_breaker(FakeClock(), slow_rate=1.0)
    succeed(breaker, latency_s=0.1)
    succeed(breaker, 10 * BATCH, latency_s=30.0)
    assert breaker.slow_after_s == 5.0


def test_the_baseline_outlives_an_outage() -> None:
    """How fast the upstream usually is does not change by its having been away."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    succeed(breaker, BATCH, latency_s=2.0)
    for _ in range(5):
        breaker.admit().failed()
        clock.now += 31.0
    assert breaker.state is BreakerState.OPEN
    assert breaker.slow_after_s == pytest.approx(8.0)
