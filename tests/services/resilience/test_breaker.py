"""What opens a breaker, and what does not."""

import pybreaker
import pytest

from services.errors import ConfigurationError
from services.resilience.breaker import Breaker, BreakerOpen, BreakerState, Reason
from services.resilience.policy import BreakerPolicy, FailureKind
from tests.services.resilience.breakers import HEALTHY_S, a_breaker, fail, succeed, trip
from tests.services.runs.fakes import FakeClock


def opened_for(breaker: Breaker) -> Reason:
    assert breaker.state is BreakerState.OPEN
    return breaker.snapshot().reason


def test_five_failures_in_a_row_open_it() -> None:
    """An upstream that is down need not be called ten times to be believed."""
    breaker = a_breaker(FakeClock())
    fail(breaker, 4)
    assert breaker.state is BreakerState.CLOSED
    fail(breaker)
    assert opened_for(breaker) is Reason.CONSECUTIVE_FAILURES


def test_a_success_breaks_the_row() -> None:
    """Four failures, a success and four failures are no five in a row."""
    breaker = a_breaker(FakeClock())
    fail(breaker, 4)
    succeed(breaker)
    fail(breaker, 4)
    assert breaker.state is BreakerState.CLOSED


def test_a_neutral_call_does_not_break_the_row() -> None:
    """A client that hung up has not shown that the upstream is well."""
    breaker = a_breaker(FakeClock())
    fail(breaker, 4)
    breaker.admit().release()
    fail(breaker)
    assert opened_for(breaker) is Reason.CONSECUTIVE_FAILURES


def test_half_of_ten_calls_failing_opens_it() -> None:
    """The failure rate is looked at from the tenth call on, and half is too much."""
    breaker = a_breaker(FakeClock())
    for _ in range(4):
        succeed(breaker)
        fail(breaker)
    succeed(breaker)
    assert breaker.state is BreakerState.CLOSED
    fail(breaker)
    assert opened_for(breaker) is Reason.FAILURE_RATE


def test_less_than_half_does_not_open_it() -> None:
    """Two failures in five calls are a bad day, not an outage."""
    breaker = a_breaker(FakeClock())
    for _ in range(20):
        succeed(breaker, 3)
        fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED


def test_a_good_verdict_may_be_the_one_that_completes_the_picture() -> None:
    """Eight failures in ten calls open it though the tenth call is a success."""
    breaker = a_breaker(FakeClock())
    for _ in range(2):
        assert breaker.state is BreakerState.CLOSED
        fail(breaker, 4)
        succeed(breaker)
    assert opened_for(breaker) is Reason.FAILURE_RATE


def test_old_calls_do_not_count() -> None:
    """Failures that are half a minute old are no reason."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    for _ in range(8):
        fail(breaker)
        succeed(breaker)
        clock.now += 10.0
    assert breaker.state is BreakerState.CLOSED
    assert breaker.snapshot().calls == 4


def test_slow_calls_open_it() -> None:
    """Eight of ten calls without content for too long are an outage, though each was answered."""
    breaker = a_breaker(FakeClock())
    succeed(breaker, 2)
    succeed(breaker, 7, latency_s=5.1, alternative=True)
    assert breaker.state is BreakerState.CLOSED
    succeed(breaker, latency_s=5.1, alternative=True)
    assert opened_for(breaker) is Reason.SLOW_RATE


def test_alone_slow_is_better_than_nothing() -> None:
    """With nobody else to ask, slow calls are answered calls: they open nothing, and close what is half-open."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    succeed(breaker, 100, latency_s=60.0)
    assert breaker.state is BreakerState.CLOSED
    trip(breaker)
    clock.now += 2.0
    succeed(breaker, 3, latency_s=60.0)
    assert breaker.state is BreakerState.CLOSED


def test_slow_is_not_a_failure() -> None:
    """Slow calls do not make a row, and a slow answer ends one."""
    breaker = a_breaker(FakeClock())
    fail(breaker, 4)
    succeed(breaker, latency_s=60.0)
    fail(breaker, 4)
    assert breaker.state is BreakerState.CLOSED


def test_late_counts_before_the_answer_does() -> None:
    """Ten calls that wait in vain open it while they still wait."""
    breaker = a_breaker(FakeClock())
    waiting = [breaker.admit() for _ in range(10)]
    for permit in waiting:
        permit.late()
    assert opened_for(breaker) is Reason.SLOW_RATE


def broken(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with breaker.admit() as permit:
            permit.alive(HEALTHY_S)
            permit.failed()


def test_answers_that_break_have_their_own_rate() -> None:
    """Three of ten answers that broke off open it; as calls all ten were successes."""
    breaker = a_breaker(FakeClock())
    succeed(breaker, 7)
    broken(breaker, 2)
    assert breaker.snapshot().failure_rate == 0.0
    assert breaker.state is BreakerState.CLOSED
    broken(breaker)
    assert opened_for(breaker) is Reason.BROKEN_RATE


def test_answers_that_break_make_no_row() -> None:
    """Nine broken answers in a row are too few for their rate, and are not failures before the first content."""
    breaker = a_breaker(FakeClock())
    broken(breaker, 9)
    assert breaker.state is BreakerState.CLOSED


def test_a_long_answer_that_breaks_counts_when_it_breaks() -> None:
    """Answers that began before the window still count when they break: ten at once are an outage."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    answers = [breaker.admit() for _ in range(10)]
    for permit in answers:
        permit.alive(HEALTHY_S)
    clock.now += 120.0
    assert breaker.snapshot().calls == 0
    for permit in answers:
        permit.failed()
    assert opened_for(breaker) is Reason.BROKEN_RATE


@pytest.mark.parametrize(
    ("kind", "reason", "open_s"),
    [(FailureKind.AUTH, Reason.AUTH, 60.0), (FailureKind.QUOTA, Reason.QUOTA, 600.0)],
)
def test_what_no_retry_cures_opens_at_once(kind: FailureKind, reason: Reason, open_s: float) -> None:
    """One refused key or one empty quota is enough, and keeps it open for long."""
    breaker = a_breaker(FakeClock())
    succeed(breaker, 50)
    fail(breaker, kind=kind)
    assert opened_for(breaker) is reason
    assert breaker.retry_after_s == pytest.approx(open_s)


def test_a_quota_that_ends_in_the_middle_of_an_answer_opens_at_once() -> None:
    """It is the kind of failure that decides, not when it came."""
    breaker = a_breaker(FakeClock())
    with breaker.admit() as permit:
        permit.alive(HEALTHY_S)
        permit.failed(FailureKind.QUOTA)
    assert opened_for(breaker) is Reason.QUOTA


def test_an_open_breaker_says_when() -> None:
    """The refusal is pybreaker's error, with the reason and the seconds that remain."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    trip(breaker)
    clock.now += 0.5
    with pytest.raises(pybreaker.CircuitBreakerError) as refused:
        breaker.admit()
    assert isinstance(refused.value, BreakerOpen)
    assert refused.value.reason == "open"
    assert refused.value.retry_after_s == pytest.approx(1.5) == breaker.retry_after_s
    assert str(refused.value) == "main/m: open, try again in 1.5 s"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("probes", 0),
        ("window_s", 0.0),
        ("half_open_max_s", -1.0),
        ("failure_rate", 1.5),
        ("open_jitter", -0.1),
        ("bucket_s", 31.0),
        ("slow_start_shares", ()),
        ("slow_start_shares", (0.0, 1.0)),
    ],
)
def test_rules_that_cannot_work_are_refused_by_their_key(key: str, value: object) -> None:
    """A breaker that could never open or never close is a mistake, and the message says where."""
    with pytest.raises(ConfigurationError) as refused:
        BreakerPolicy(**{key: value})  # type: ignore[arg-type]
    assert refused.value.param == f"breaker.{key}"


def test_jitter_and_slow_start_may_be_switched_off() -> None:
    """Zero is a number for these."""
    BreakerPolicy(open_jitter=0.0, cooldown_jitter=0.0, slow_start_s=0.0)
