"""What a verdict counts for: once, at its time, and only in its own generation."""

import asyncio
import pickle

import pytest

from services.resilience.breaker import BreakerOpen, BreakerState
from services.resilience.policy import FailureKind
from tests.services.resilience.breakers import HEALTHY_S, a_breaker, fail, half_opened, succeed, trip
from tests.services.runs.fakes import FakeClock


def test_late_and_then_alive_is_one_slow_call() -> None:
    """The answer that came after all neither adds a call nor takes the slowness back."""
    breaker = a_breaker(FakeClock())
    with breaker.admit() as permit:
        permit.late()
        permit.late()
        permit.alive(6.0)
        permit.alive(6.0)
    succeed(breaker)
    seen = breaker.snapshot()
    assert (seen.calls, seen.slow_rate, seen.failure_rate) == (2, 0.5, 0.0)


def test_late_stays_slow_whatever_latency_is_reported_after_it() -> None:
    """Once counted as slow a call is slow, and is no measure for others."""
    breaker = a_breaker(FakeClock())
    for _ in range(7):
        with breaker.admit() as permit:
            permit.late()
            permit.alive(0.1)
    assert breaker.snapshot().slow_rate == 1.0


def test_late_and_then_failed_is_one_call() -> None:
    """A call that waited in vain and then failed is a slow call and a failure, but one call."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    with breaker.admit() as permit:
        permit.late()
        clock.now += 15.0
        permit.failed()
    succeed(breaker)
    seen = breaker.snapshot()
    assert (seen.calls, seen.slow_rate, seen.failure_rate) == (2, 0.5, 0.5)
    clock.now += 20.0  # it counts from its failure on
    assert breaker.snapshot().calls == 2


def test_late_and_then_failed_counts_once_however_long_that_took() -> None:
    """A call whose lateness has left the window counts anew with its failure."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    with breaker.admit() as permit:
        permit.late()
        clock.now += 40.0
        permit.failed()
    seen = breaker.snapshot()
    assert (seen.calls, seen.slow_rate, seen.failure_rate) == (1, 1.0, 1.0)


def test_a_call_counts_when_its_verdict_comes() -> None:
    """A call that is on its way is in no rate."""
    breaker = a_breaker(FakeClock())
    permit = breaker.admit()
    assert breaker.snapshot().calls == 0
    permit.alive(HEALTHY_S)
    assert breaker.snapshot().calls == 1


def test_a_call_has_one_verdict() -> None:
    """Whatever is said after a failure, a throttling or the release is not heard."""
    breaker = a_breaker(FakeClock())
    failed, throttled, released = breaker.admit(), breaker.admit(), breaker.admit()
    failed.failed()
    throttled.throttled(0.0)
    released.release()
    before = breaker.snapshot()
    for permit in (failed, throttled, released):
        permit.alive(HEALTHY_S)
        permit.late()
        permit.failed(FailureKind.QUOTA)
        permit.throttled(60.0)
        permit.release()
    assert breaker.snapshot() == before


def test_leaving_without_a_verdict_counts_nothing() -> None:
    """Whatever is raised inside, the permit is released, the error goes on, and no call is counted."""
    breaker = a_breaker(FakeClock())
    for error in (ValueError(), KeyboardInterrupt(), asyncio.CancelledError()):
        with pytest.raises(type(error)), breaker.admit():
            raise error
    assert breaker.snapshot().calls == 0


def test_verdicts_of_an_older_generation_are_dropped() -> None:
    """What began before the breaker opened says nothing about the upstream after it, good or bad."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    old = [breaker.admit() for _ in range(20)]
    begun = breaker.admit()
    begun.alive(HEALTHY_S)
    trip(breaker)
    before = breaker.snapshot()
    old[0].alive(HEALTHY_S)
    old[1].late()
    old[2].failed()
    old[3].failed(FailureKind.QUOTA)
    old[4].throttled(60.0)
    begun.failed()
    assert breaker.snapshot() == before
    clock.now += 2.0
    probe = breaker.admit()
    for permit in old[5:]:
        permit.failed()
    assert breaker.state is BreakerState.HALF_OPEN
    probe.alive(HEALTHY_S)


def test_an_older_permit_gives_back_only_its_own_place() -> None:
    """Released late, a probe of an earlier half-open does not free a place of the present one."""
    clock = FakeClock()
    breaker = half_opened(clock)
    old = breaker.admit()
    fail(breaker)
    clock.now += breaker.retry_after_s
    probes = [breaker.admit() for _ in range(3)]
    old.release()
    with pytest.raises(BreakerOpen):
        breaker.admit()
    probes[0].release()
    breaker.admit()


def test_the_snapshot_shows_what_it_opened_for() -> None:
    """While it is open the window can still be read; when it closes, counting begins anew."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    succeed(breaker, 5)
    trip(breaker)
    seen = breaker.snapshot()
    assert (seen.name, seen.generation, seen.calls, seen.failure_rate) == ("main/m", 1, 10, 0.5)
    clock.now += 2.0
    succeed(breaker, 3)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.snapshot().calls == 0


def test_a_snapshot_can_be_sent() -> None:
    """It is plain data: a replica may tell another process of it."""
    seen = a_breaker(FakeClock()).snapshot()
    assert pickle.loads(pickle.dumps(seen)) == seen
