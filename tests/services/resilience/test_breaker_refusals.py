"""Who is turned away by a breaker that is not open, and who is let past one that is."""

import pytest

from services.resilience.breaker import Breaker, BreakerState, Reason
from services.resilience.policy import FailureKind
from tests.services.resilience.breakers import (
    HEALTHY_S,
    a_breaker,
    admitted,
    assert_refused,
    closed_again,
    fail,
    half_opened,
    trip,
)
from tests.services.runs.fakes import FakeClock


def shares_of(breaker: Breaker, clock: FakeClock, *, alternative: bool = True) -> list[int]:
    """Ask a hundred times in each two seconds after closing. Returns how many were let in."""
    shares = []
    for _ in range(3):
        shares.append(len(admitted(breaker, 100, alternative=alternative)))
        clock.now += 2.0
    return shares


def test_traffic_comes_back_by_and_by() -> None:
    """A quarter, a half, and then all of what could go elsewhere, two seconds each."""
    clock = FakeClock()
    assert shares_of(closed_again(clock), clock) == [25, 50, 100]


def test_the_share_is_evenly_spread() -> None:
    """Every fourth call is let in, beginning with the first: no dice, no bursts."""
    breaker = closed_again(FakeClock())
    assert [len(admitted(breaker, 1)) for _ in range(8)] == [1, 0, 0, 0, 1, 0, 0, 0]


def test_shares_need_not_divide_evenly() -> None:
    """Three quarters are three calls of four."""
    breaker = closed_again(FakeClock(), slow_start_shares=(0.75, 1.0))
    assert [len(admitted(breaker, 1)) for _ in range(8)] == [1, 0, 1, 1, 1, 0, 1, 1]


def test_what_it_sheds_is_told_to_come_back_soon() -> None:
    """The refusal names the slow start."""
    breaker = closed_again(FakeClock())
    admitted(breaker, 1)
    assert_refused(breaker, "slow_start", 1.0)
    assert breaker.retry_after_s == 0.0  # whoever has nobody else is let in


def test_nothing_is_shed_when_nobody_else_could_take_it() -> None:
    """With no alternative every call is let in."""
    clock = FakeClock()
    assert shares_of(closed_again(clock), clock, alternative=False) == [100, 100, 100]


def test_without_a_slow_start_all_traffic_is_back_at_once() -> None:
    """It may be switched off."""
    assert len(admitted(closed_again(FakeClock(), slow_start_s=0.0), 100)) == 100


def test_throttled_is_a_cooldown_and_no_failure() -> None:
    """A 429 keeps every caller away until the time it said, and leaves the state and the rates alone."""
    clock = FakeClock()
    breaker = a_breaker(clock, cooldown_jitter=0.0)
    for permit in admitted(breaker, 20):
        permit.throttled(3.0)
    assert_refused(breaker, "cooldown", 3.0, alternative=False)
    seen = breaker.snapshot()
    assert (seen.state, seen.calls) == (BreakerState.CLOSED, 0)
    assert seen.cooldown_s == pytest.approx(3.0)
    clock.now += 3.0
    breaker.admit()


@pytest.mark.parametrize(
    ("said_s", "dice", "cooldown_s"),
    [(None, 0.0, 1.0), (10.0, 0.0, 10.0), (10.0, 0.999999, 12.0), (3_600.0, 0.0, 120.0), (0.0, 0.5, 0.0)],
)
def test_how_long_a_cooldown_is(said_s: float | None, dice: float, cooldown_s: float) -> None:
    """What was asked for, never less, up to a fifth more, at most two minutes before the jitter; a second if nothing was."""
    breaker = Breaker("main/m", clock=FakeClock(), random=lambda: dice)
    breaker.admit().throttled(said_s)
    assert breaker.retry_after_s == pytest.approx(cooldown_s, rel=1e-4)


def test_a_cooldown_is_not_shortened() -> None:
    """Of two 429s the one that asked for more time is heeded."""
    breaker = a_breaker(FakeClock(), cooldown_jitter=0.0)
    first, second = admitted(breaker, 2)
    first.throttled(10.0)
    second.throttled(1.0)
    assert breaker.retry_after_s == pytest.approx(10.0)


def test_a_throttled_probe_gives_its_place_back() -> None:
    """The upstream is well but wants quiet: no verdict, and the cooldown holds for the other probes too."""
    clock = FakeClock()
    breaker = half_opened(clock, cooldown_jitter=0.0)
    probes = admitted(breaker, 3)
    probes[0].throttled(5.0)
    assert breaker.state is BreakerState.HALF_OPEN
    assert_refused(breaker, "cooldown", 5.0)
    clock.now += 5.0
    assert len(admitted(breaker, 10)) == 1


def test_a_cooldown_outlasts_the_open_time() -> None:
    """A breaker that opens while its upstream throttles says the longer of the two times."""
    clock = FakeClock()
    breaker = a_breaker(clock, cooldown_jitter=0.0)
    permits = admitted(breaker, 6)
    permits[0].throttled(10.0)
    for permit in permits[1:]:
        permit.failed()
    assert_refused(breaker, "open", 10.0)
    clock.now += 5.0
    assert_refused(breaker, "cooldown", 5.0)
    assert breaker.state is BreakerState.OPEN
    clock.now += 5.0
    breaker.admit()


def test_in_panic_one_call_a_second_is_let_through() -> None:
    """When there is nobody else to ask, an open breaker may be wrong once a second."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    trip(breaker)
    let_through = 0
    for _ in range(20):
        let_through += breaker.admit_in_panic() is not None
        clock.now += 0.1
    assert let_through == 2


def test_a_success_in_panic_is_the_first_probe() -> None:
    """It makes the breaker half-open, and two more successes close it."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    trip(breaker)
    permit = breaker.admit_in_panic()
    assert permit is not None
    permit.alive(HEALTHY_S)
    probes = admitted(breaker, 10)
    assert len(probes) == 2
    for probe in probes:
        probe.alive(HEALTHY_S)
    assert breaker.state is BreakerState.CLOSED


def test_a_success_in_panic_closes_it_where_one_is_enough() -> None:
    """With `probe_successes` of one there is nothing left to probe."""
    breaker = a_breaker(FakeClock(), probe_successes=1)
    trip(breaker)
    permit = breaker.admit_in_panic()
    assert permit is not None
    permit.alive(HEALTHY_S)
    assert breaker.state is BreakerState.CLOSED


def test_a_failure_in_panic_changes_nothing() -> None:
    """The breaker was right; it stays open for as long as it had been going to."""
    breaker = a_breaker(FakeClock())
    trip(breaker)
    before = breaker.snapshot()
    permit = breaker.admit_in_panic()
    assert permit is not None
    permit.failed(retry_after_s=60.0)
    permit.release()
    assert breaker.snapshot() == before


@pytest.mark.parametrize("late", [True, False])
def test_slow_content_in_panic_is_a_success(late: bool) -> None:
    """There is nobody else to ask: slow is better than nothing."""
    breaker = a_breaker(FakeClock())
    trip(breaker)
    permit = breaker.admit_in_panic()
    assert permit is not None
    if late:
        permit.late()
    permit.alive(60.0)
    assert breaker.state is BreakerState.HALF_OPEN


def test_a_refused_key_in_panic_ends_the_panic() -> None:
    """It opens the breaker for that, for that is not cured by asking again."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    trip(breaker)
    permit = breaker.admit_in_panic()
    assert permit is not None
    permit.failed(FailureKind.AUTH)
    assert breaker.snapshot().reason is Reason.AUTH
    clock.now += 10.0
    assert breaker.admit_in_panic() is None


@pytest.mark.parametrize("kind", [FailureKind.AUTH, FailureKind.QUOTA])
def test_there_is_no_panic_about_keys_and_quotas(kind: FailureKind) -> None:
    """Such a breaker is not wrong."""
    breaker = a_breaker(FakeClock())
    fail(breaker, kind=kind)
    assert breaker.admit_in_panic() is None


def test_there_is_no_panic_while_it_is_not_open() -> None:
    """Closed and half-open have their own way in."""
    assert a_breaker(FakeClock()).admit_in_panic() is None
    assert half_opened(FakeClock()).admit_in_panic() is None


def test_panic_heeds_a_cooldown() -> None:
    """An upstream that asked for quiet gets it."""
    clock = FakeClock()
    breaker = a_breaker(clock, cooldown_jitter=0.0)
    trip(breaker)
    permit = breaker.admit_in_panic()
    assert permit is not None
    permit.throttled(5.0)
    clock.now += 4.0
    assert breaker.admit_in_panic() is None
