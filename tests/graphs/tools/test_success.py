"""The rate of tool calls that succeed, over a window that moves."""

import pytest

from graphs.tools.outcomes import Outcome
from graphs.tools.success import BUCKETS, SuccessRates


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_is_the_share_of_results() -> None:
    """Each tool has its own rate; one that was not called has none."""
    rates = SuccessRates(clock=Clock())
    for outcome in (Outcome.OK, Outcome.OK, Outcome.OK, Outcome.ERROR):
        rates.record("search", outcome)
    rates.record("clock", Outcome.OK)
    assert rates.current() == {"search": 0.75, "clock": 1.0}


SAYS_NOTHING = (Outcome.CANCELLED, Outcome.REJECTED, Outcome.ANSWERED, Outcome.HELD)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome not in SAYS_NOTHING])
def test_every_outcome_counts(outcome: Outcome) -> None:
    """A call without a result is no success, for whatever reason."""
    rates = SuccessRates(clock=Clock())
    rates.record("search", outcome)
    assert rates.current() == {"search": 1.0 if outcome is Outcome.OK else 0.0}


@pytest.mark.parametrize("outcome", SAYS_NOTHING)
def test_what_says_nothing_does_not_count(outcome: Outcome) -> None:
    """A run that was ended says nothing of its tools, nor does a person who decided, or a call that was held."""
    rates = SuccessRates(clock=Clock())
    rates.record("search", outcome)
    assert rates.current() == {}


def test_old_calls_leave_the_window() -> None:
    """After five minutes a call is forgotten, not before four and a half, and then a tool has no rate."""
    clock = Clock()
    rates = SuccessRates(clock=clock)
    rates.record("search", Outcome.ERROR)
    clock.now += 280.0
    rates.record("search", Outcome.OK)
    assert rates.current() == {"search": 0.5}
    clock.now += 30.0
    assert rates.current() == {"search": 1.0}
    clock.now += 300.0
    assert rates.current() == {}


def test_it_does_not_grow() -> None:
    """A tool costs a fixed number of buckets however long it is called."""
    clock = Clock()
    rates = SuccessRates(window_s=30.0, clock=clock)
    for _ in range(BUCKETS * 10):
        rates.record("search", Outcome.OK)
        clock.now += 1.0
    assert len(rates._calls["search"]._buckets) == BUCKETS
