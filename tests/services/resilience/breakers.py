"""Breakers on a clock that tests move, and the upstream's moods in a word."""

import pytest

from services.resilience.breaker import Breaker, BreakerListener, BreakerOpen, BreakerSnapshot, BreakerState, Permit
from services.resilience.policy import BreakerPolicy, FailureKind
from tests.services.runs.fakes import FakeClock

HEALTHY_S = 0.3
"""A latency that is not slow."""


def no_jitter() -> float:
    """The middle of the dice: open times are as configured, cooldowns half their jitter longer."""
    return 0.5


def a_breaker(clock: FakeClock, *listeners: BreakerListener, **policy: object) -> Breaker:
    rules = BreakerPolicy(**policy)  # type: ignore[arg-type]
    return Breaker("main/m", rules, clock=clock, random=no_jitter, listeners=listeners)


def succeed(breaker: Breaker, times: int = 1, latency_s: float = HEALTHY_S, *, alternative: bool = False) -> None:
    for _ in range(times):
        with breaker.admit(alternative=alternative) as permit:
            permit.alive(latency_s)


def fail(
    breaker: Breaker,
    times: int = 1,
    kind: FailureKind = FailureKind.TRANSIENT,
    *,
    retry_after_s: float | None = None,
) -> None:
    for _ in range(times):
        with breaker.admit(alternative=False) as permit:
            permit.failed(kind, retry_after_s=retry_after_s)


def trip(breaker: Breaker) -> None:
    """Open it by failures in a row."""
    fail(breaker, 5)
    assert breaker.state is BreakerState.OPEN


def wait_until_due(breaker: Breaker, clock: FakeClock) -> None:
    clock.now += breaker.retry_after_s


def half_opened(clock: FakeClock, *listeners: BreakerListener, **policy: object) -> Breaker:
    """A breaker that is half-open, without a probe on its way."""
    breaker = a_breaker(clock, *listeners, **policy)
    trip(breaker)
    wait_until_due(breaker, clock)
    breaker.admit().release()
    assert breaker.state is BreakerState.HALF_OPEN
    return breaker


def closed_again(clock: FakeClock, *listeners: BreakerListener, **policy: object) -> Breaker:
    """A breaker that has just closed after an outage."""
    breaker = half_opened(clock, *listeners, **policy)
    succeed(breaker, 3)
    assert breaker.state is BreakerState.CLOSED
    return breaker


def admitted(breaker: Breaker, times: int, *, alternative: bool = True) -> list[Permit]:
    """Ask so many times, and return what was let in."""
    permits = []
    for _ in range(times):
        try:
            permits.append(breaker.admit(alternative=alternative))
        except BreakerOpen:
            continue
    return permits


def assert_refused(breaker: Breaker, reason: str, retry_after_s: float, *, alternative: bool = True) -> None:
    with pytest.raises(BreakerOpen) as refused:
        breaker.admit(alternative=alternative)
    assert refused.value.reason == reason
    assert refused.value.retry_after_s == pytest.approx(retry_after_s)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.changes: list[tuple[BreakerSnapshot, BreakerSnapshot]] = []

    def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
        self.changes.append((before, after))

    @property
    def states(self) -> list[BreakerState]:
        return [after.state for _, after in self.changes]
