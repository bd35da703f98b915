"""How long it stays open, and who tries it then."""

import pytest

from services.resilience.breaker import Breaker, BreakerState, Reason
from services.resilience.policy import BreakerPolicy, FailureKind
from tests.services.resilience.breakers import (
    HEALTHY_S,
    a_breaker,
    admitted,
    assert_refused,
    closed_again,
    fail,
    half_opened,
    succeed,
    trip,
    wait_until_due,
)
from tests.services.runs.fakes import FakeClock


def test_open_times_double_up_to_a_limit() -> None:
    """Each failed probe keeps it away for longer: 2, 4, 8 and no more than 8 seconds."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    trip(breaker)
    waits = []
    for _ in range(5):
        waits.append(breaker.retry_after_s)
        wait_until_due(breaker, clock)
        fail(breaker)
    assert waits == pytest.approx([2.0, 4.0, 8.0, 8.0, 8.0])


def test_a_refused_key_is_tried_every_minute_and_then_every_two() -> None:
    """Open times for authentication double once."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    waits = []
    for _ in range(3):
        fail(breaker, kind=FailureKind.AUTH)
        waits.append(breaker.retry_after_s)
        wait_until_due(breaker, clock)
    assert waits == pytest.approx([60.0, 120.0, 120.0])


def test_an_empty_quota_is_tried_every_ten_minutes() -> None:
    """Its open time does not grow."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    for _ in range(3):
        fail(breaker, kind=FailureKind.QUOTA)
        assert breaker.retry_after_s == pytest.approx(600.0)
        wait_until_due(breaker, clock)


def test_another_kind_of_failure_begins_its_own_times() -> None:
    """After a long outage the first refused key keeps it away for a minute, not for two."""
    clock = FakeClock()
    breaker = half_opened(clock)
    fail(breaker)
    wait_until_due(breaker, clock)
    fail(breaker, kind=FailureKind.AUTH)
    assert breaker.retry_after_s == pytest.approx(60.0)


@pytest.mark.parametrize(("dice", "open_s"), [(0.0, 1.6), (0.999999, 2.4)])
def test_open_times_are_jittered_by_a_fifth(dice: float, open_s: float) -> None:
    """Replicas that opened together do not come back together."""
    breaker = Breaker("main/m", clock=FakeClock(), random=lambda: dice)
    trip(breaker)
    assert breaker.retry_after_s == pytest.approx(open_s, rel=1e-4)


@pytest.mark.parametrize(
    ("said_s", "open_s"), [(None, 2.0), (1.0, 2.0), (30.0, 30.0), (3_600.0, 120.0), (-5.0, 2.0), (float("nan"), 2.0)]
)
def test_retry_after_raises_the_open_time(said_s: float | None, open_s: float) -> None:
    """What the failure that opened it said is kept, within two minutes; less than ours is no promise."""
    breaker = a_breaker(FakeClock())
    fail(breaker, 4)
    fail(breaker, retry_after_s=said_s)
    assert breaker.retry_after_s == pytest.approx(open_s)


def test_retry_after_is_for_failures_that_pass() -> None:
    """A refused key has its own time, whatever came with the refusal."""
    breaker = a_breaker(FakeClock())
    fail(breaker, kind=FailureKind.AUTH, retry_after_s=3_600.0)
    assert breaker.retry_after_s == pytest.approx(60.0)


def test_the_times_are_short_again_after_it_was_well() -> None:
    """Closed through the whole slow start, it has earned a short first time."""
    clock = FakeClock()
    breaker = closed_again(clock)
    clock.now += 6.0
    trip(breaker)
    assert breaker.retry_after_s == pytest.approx(2.0)


def test_the_times_go_on_growing_when_it_falls_ill_in_its_slow_start() -> None:
    """Closed for a moment is not well."""
    clock = FakeClock()
    breaker = closed_again(clock)
    clock.now += 5.9
    trip(breaker)
    assert breaker.retry_after_s == pytest.approx(4.0)


def test_it_stays_open_until_somebody_calls() -> None:
    """When its time is over it would admit a call, and becomes half-open by doing so."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    trip(breaker)
    clock.now += 1_000.0
    assert (breaker.state, breaker.retry_after_s) == (BreakerState.OPEN, 0.0)
    breaker.admit()
    assert breaker.state is BreakerState.HALF_OPEN


def test_three_successes_close_it() -> None:
    """Not one, not two."""
    breaker = half_opened(FakeClock())
    for state in (BreakerState.HALF_OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED):
        succeed(breaker)
        assert breaker.state is state


def test_one_failure_opens_it_again() -> None:
    """Two successes do not make up for it."""
    breaker = half_opened(FakeClock())
    succeed(breaker, 2)
    fail(breaker)
    assert breaker.snapshot().reason is Reason.PROBE_FAILED


@pytest.mark.parametrize("early", [True, False])
def test_a_slow_probe_opens_it_again(early: bool) -> None:
    """Whether it is found late while it waits or by its latency."""
    breaker = half_opened(FakeClock())
    with breaker.admit() as permit:
        if early:
            permit.late()
        else:
            permit.alive(5.1)
    assert breaker.snapshot().reason is Reason.PROBE_SLOW


def test_a_probe_that_breaks_opens_it_again() -> None:
    """An answer that breaks before the breaker is closed is a failure of the probe."""
    breaker = half_opened(FakeClock())
    with breaker.admit() as permit:
        permit.alive(HEALTHY_S)
        permit.failed()
    assert breaker.snapshot().reason is Reason.PROBE_FAILED


def test_the_retry_after_of_a_probe_counts() -> None:
    """What the upstream says while it is being tried is kept as well."""
    breaker = half_opened(FakeClock())
    fail(breaker, retry_after_s=45.0)
    assert breaker.retry_after_s == pytest.approx(45.0)


def test_at_most_three_probes_are_out() -> None:
    """The fourth caller is refused until one of the three has a verdict or is released."""
    breaker = half_opened(FakeClock())
    probes = admitted(breaker, 10)
    assert len(probes) == 3
    assert_refused(breaker, "half_open", 1.0)
    assert_refused(breaker, "half_open", 1.0, alternative=False)
    assert breaker.retry_after_s == 1.0
    probes[0].release()
    assert breaker.retry_after_s == 0.0
    assert len(admitted(breaker, 10)) == 1


def test_no_more_probes_than_could_still_decide() -> None:
    """A success keeps its place: two of three successes leave one place, so three calls in all reach the upstream."""
    breaker = half_opened(FakeClock())
    succeed(breaker, 2)
    assert len(admitted(breaker, 10)) == 1


def test_a_probe_that_has_succeeded_may_take_its_time() -> None:
    """Its answer streams on, and two others may be tried meanwhile."""
    breaker = half_opened(FakeClock())
    breaker.admit().alive(HEALTHY_S)
    assert len(admitted(breaker, 10)) == 2


def test_a_neutral_probe_decides_nothing() -> None:
    """A client that hangs up gives its place to the next one."""
    breaker = half_opened(FakeClock())
    for _ in range(10):
        breaker.admit().release()
    assert breaker.state is BreakerState.HALF_OPEN


def test_a_lost_probe_gives_its_place_back() -> None:
    """Nobody ever hears of it again, and its lease ends."""
    clock = FakeClock()
    breaker = half_opened(clock, probe_lease_s=10.0)
    lost = admitted(breaker, 3)
    clock.now += 9.9
    assert admitted(breaker, 1) == []
    clock.now += 0.1
    assert len(admitted(breaker, 10)) == 3
    assert len(lost) == 3


def test_a_probe_that_was_thought_lost_still_counts() -> None:
    """Its place is gone, its verdict is not."""
    clock = FakeClock()
    breaker = half_opened(clock, probe_lease_s=10.0)
    late = breaker.admit()
    clock.now += 11.0
    late.alive(HEALTHY_S)
    succeed(breaker, 2)
    assert breaker.state is BreakerState.CLOSED


def test_half_open_does_not_last() -> None:
    """After half a minute without a decision it is open again, not for long, and what the probes then say is dropped."""
    clock = FakeClock()
    breaker = half_opened(clock)
    lost = admitted(breaker, 3)
    clock.now += 29.9
    assert breaker.state is BreakerState.HALF_OPEN
    clock.now += 0.1
    lost[0].failed(FailureKind.QUOTA)
    assert breaker.snapshot().reason is Reason.PROBES_UNDECIDED
    assert breaker.retry_after_s == pytest.approx(2.0)


def test_whoever_looks_sees_that_half_open_ran_out() -> None:
    """The state is asked for, not told: no call is needed for it to be open again."""
    clock = FakeClock()
    breaker = half_opened(clock)
    clock.now += 30.0
    assert breaker.state is BreakerState.OPEN


def test_nobody_waits_for_a_half_open_that_ran_out_long_ago() -> None:
    """The short time that it is then open is counted from when it ran out, not from when somebody noticed."""
    clock = FakeClock()
    breaker = half_opened(clock)
    clock.now += 60.0
    breaker.admit()
    assert breaker.state is BreakerState.HALF_OPEN


def test_the_rules_for_probes_may_change_under_way() -> None:
    """With two successes when two become enough, one more closes it."""
    breaker = half_opened(FakeClock())
    succeed(breaker, 2)
    breaker.configure(BreakerPolicy(probe_successes=2))
    succeed(breaker)
    assert breaker.state is BreakerState.CLOSED
