"""The budget of retries and the waits before them."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import ConfigurationError
from services.resilience.retry import RetryBudget, RetryPolicy, backoff_s
from tests.services.resilience.timeline import Timeline


def spent(budget: RetryBudget, *, timeout: bool = False) -> int:
    """How many retries there are until there are none."""
    count = 0
    while budget.spend(timeout=timeout):
        count += 1
    return count


def a_busy_budget(time: Timeline, requests: int = 10_000) -> RetryBudget:
    """A budget whose share of the requests is no limit."""
    budget = RetryBudget(clock=time)
    for _ in range(requests):
        budget.requested()
    return budget


def test_waits_are_drawn_from_a_bound_that_doubles() -> None:
    """Full jitter: anything from nothing to 0.25 s before the first retry, twice that each time, 4 s at most."""
    policy = RetryPolicy()
    assert [backoff_s(attempt, policy, lambda: 1.0) for attempt in range(1, 8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert backoff_s(3, policy, lambda: 0.0) == 0.0
    assert backoff_s(3, policy, lambda: 0.5) == 0.5
    assert backoff_s(100_000, policy, lambda: 1.0) == 4.0


def test_a_full_bucket_is_twenty_retries_or_ten_after_timeouts() -> None:
    """Where nothing succeeds the retries end, however many requests there are."""
    assert spent(a_busy_budget(Timeline())) == 20
    assert spent(a_busy_budget(Timeline()), timeout=True) == 10


def test_five_successes_pay_for_one_retry() -> None:
    """Every success brings one token back, up to a full bucket."""
    budget = a_busy_budget(Timeline())
    spent(budget)
    for _ in range(4):
        budget.succeeded()
    assert spent(budget) == 0
    budget.succeeded()
    assert spent(budget) == 1
    for _ in range(1_000):
        budget.succeeded()
    assert spent(budget) == 20


def test_time_alone_brings_no_retries_back() -> None:
    """An outage of hours ends with successes, not with retries that have grown back in the meantime."""
    time = Timeline()
    budget = a_busy_budget(time)
    spent(budget)
    time.now += 86_400.0
    assert spent(budget) == 0


def test_one_retry_for_ten_requests() -> None:
    """With 150 requests in the window and a full bucket there are 15 retries."""
    assert spent(a_busy_budget(Timeline(), requests=150)) == 15


def test_a_quiet_replica_may_retry_three_times_a_minute() -> None:
    """One request alone would allow a tenth of a retry: three are free in every window, none more."""
    time = Timeline()
    budget = a_busy_budget(time, requests=1)
    assert spent(budget) == 3
    time.now += 59.0
    assert spent(budget) == 0
    time.now += 1.0
    assert spent(budget) == 3


def test_requests_of_the_last_minute_count_and_no_older_ones() -> None:
    """A rush of an hour ago pays for nothing."""
    time = Timeline()
    budget = a_busy_budget(time)
    time.now += 3_600.0
    assert spent(budget) == 3


def test_a_refused_retry_costs_nothing() -> None:
    """What the share does not allow leaves the bucket as it is."""
    time = Timeline()
    budget = a_busy_budget(time, requests=1)
    spent(budget)
    for _ in range(100):
        assert not budget.spend(timeout=True)
    for _ in range(10_000):
        budget.requested()
    assert spent(budget) == 17


Gaps = st.lists(st.floats(0.0, 30.0), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None)
@given(Gaps, st.integers(1, 3), st.booleans())
def test_a_storm_of_failures_costs_a_tenth_more_at_most(gaps: list[float], tries: int, timeout: bool) -> None:
    """A thousand requests that all fail, in any pattern of arrival, each tried again while it may be: 1,100 attempts"""
    time = Timeline()
    budget = RetryBudget(clock=time)
    attempts = 0
    for request in range(1_000):
        time.now += gaps[request % len(gaps)]
        budget.requested()
        attempts += 1
        for _ in range(tries):
            if budget.spend(timeout=timeout):
                attempts += 1
    assert attempts <= 1_100
    assert attempts == (1_010 if timeout else 1_020)


@settings(max_examples=25, deadline=None)
@given(Gaps, st.lists(st.booleans(), min_size=1, max_size=30))
def test_retries_are_within_their_share_of_every_minute(gaps: list[float], failures: list[bool]) -> None:
    """However many succeed, in any minute there is one retry for ten requests of that minute, or three."""
    time = Timeline()
    budget = RetryBudget(clock=time)
    requests: deque[float] = deque()
    retries: deque[float] = deque()
    for number in range(600):
        time.now += gaps[number % len(gaps)] / 10
        budget.requested()
        requests.append(time.now)
        if failures[number % len(failures)]:
            if budget.spend(timeout=False):
                retries.append(time.now)
                asked = sum(at > time.now - 60.0 for at in requests)
                # The window drops whole seconds: what is between 59 and 60 s old may or may not count.
                assert sum(at > time.now - 59.0 for at in retries) <= max(3, asked / 10)
        else:
            budget.succeeded()


@pytest.mark.parametrize("policy", [{"cost": 0}, {"max_s": -1}, {"share": 2}])
def test_numbers_that_cannot_work_are_refused(policy: dict[str, int]) -> None:
    """A budget that would never end is refused by its key."""
    with pytest.raises(ConfigurationError, match=r"retry\."):
        RetryPolicy(**policy)
