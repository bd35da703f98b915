"""What an operator may change while it runs, and who is told."""

import logging
from dataclasses import replace

import pytest

from services.resilience.breaker import Breaker, BreakerOpen, BreakerSnapshot, BreakerState, Reason
from services.resilience.policy import BreakerMode, BreakerPolicy, FailureKind
from tests.services.resilience.breakers import (
    Heard,
    a_breaker,
    admitted,
    closed_again,
    fail,
    half_opened,
    succeed,
    trip,
)
from tests.services.runs.fakes import FakeClock

AUTO = BreakerPolicy()
FORCED_OPEN = BreakerPolicy(mode=BreakerMode.FORCED_OPEN)
METRICS_ONLY = BreakerPolicy(mode=BreakerMode.METRICS_ONLY)


def test_forced_open_admits_nobody_for_ever() -> None:
    """No time and no panic opens a way in, with or without an alternative."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    breaker.configure(FORCED_OPEN)
    for _ in range(3):
        with pytest.raises(BreakerOpen) as refused:
            breaker.admit(alternative=False)
        assert (refused.value.reason, refused.value.retry_after_s) == ("forced_open", 120.0)
        assert breaker.admit_in_panic() is None
        clock.now += 1e6
    seen = breaker.snapshot()
    assert (seen.state, seen.mode, seen.reason) == (BreakerState.OPEN, BreakerMode.FORCED_OPEN, Reason.FORCED_OPEN)


def test_a_breaker_may_be_forced_open_from_the_start() -> None:
    """A provider that is switched off in the settings is never called."""
    assert admitted(a_breaker(FakeClock(), mode=BreakerMode.FORCED_OPEN), 10) == []


def test_calls_on_their_way_do_not_reopen_what_is_forced_open() -> None:
    """Their good verdicts are of an older generation."""
    breaker = a_breaker(FakeClock())
    permits = admitted(breaker, 3)
    breaker.configure(FORCED_OPEN)
    for permit in permits:
        permit.alive(0.1)
    assert breaker.state is BreakerState.OPEN


def test_after_forced_open_it_is_probed_first() -> None:
    """What was kept away from for a reason does not get all traffic at once."""
    breaker = a_breaker(FakeClock())
    breaker.configure(FORCED_OPEN)
    breaker.configure(AUTO)
    assert breaker.state is BreakerState.HALF_OPEN
    assert len(admitted(breaker, 10)) == 3


@pytest.mark.parametrize("before", [AUTO, FORCED_OPEN])
def test_metrics_only_admits_everything_and_counts(before: BreakerPolicy) -> None:
    """Failures of every kind are in the rates; nothing opens, whatever it was before."""
    breaker = a_breaker(FakeClock())
    breaker.configure(before)
    if before is AUTO:
        trip(breaker)
    breaker.configure(METRICS_ONLY)
    generation = breaker.snapshot().generation
    fail(breaker, 50)
    fail(breaker, 1, FailureKind.AUTH)
    fail(breaker, 1, FailureKind.QUOTA)
    breaker.admit().late()
    breaker.admit().throttled(60.0)
    assert len(admitted(breaker, 100)) == 100
    seen = breaker.snapshot()
    assert (seen.state, seen.generation, seen.calls) == (BreakerState.CLOSED, generation, 53)
    assert breaker.retry_after_s == 0.0


def test_metrics_only_ends_a_slow_start() -> None:
    """Everything is everything."""
    breaker = closed_again(FakeClock())
    breaker.configure(METRICS_ONLY)
    assert len(admitted(breaker, 100)) == 100


def test_what_metrics_only_counted_is_kept() -> None:
    """Back in its own hands, the breaker judges with the next verdict."""
    breaker = a_breaker(FakeClock(), mode=BreakerMode.METRICS_ONLY)
    fail(breaker, 20)
    breaker.configure(AUTO)
    assert breaker.state is BreakerState.CLOSED
    succeed(breaker)
    assert breaker.snapshot().reason is Reason.FAILURE_RATE


def test_new_limits_hold_from_the_next_verdict() -> None:
    """Thresholds change without a restart and without losing what was counted."""
    breaker = a_breaker(FakeClock())
    succeed(breaker, 7)
    fail(breaker, 3)
    breaker.configure(BreakerPolicy(failure_rate=0.2))
    assert breaker.state is BreakerState.CLOSED
    succeed(breaker)
    assert breaker.snapshot().reason is Reason.FAILURE_RATE


def test_a_new_floor_is_slow_at_once() -> None:
    """Timers that look at `slow_after_s` see the new number."""
    breaker = a_breaker(FakeClock())
    breaker.configure(BreakerPolicy(slow_floor_s=40.0))
    assert breaker.slow_after_s == 40.0


def test_another_window_begins_empty() -> None:
    """Counts of one length say nothing about another; calls on their way may still be moved, and are."""
    breaker = a_breaker(FakeClock())
    fail(breaker, 3)
    permit = breaker.admit()
    permit.late()
    breaker.configure(BreakerPolicy(window_s=10.0, bucket_s=0.5))
    assert breaker.snapshot().calls == 0
    permit.failed()
    assert breaker.snapshot().calls == 1


def test_the_same_rules_change_nothing() -> None:
    """Reconfiguring with what is already so tells nobody and drops no verdict."""
    heard = Heard()
    breaker = a_breaker(FakeClock(), heard)
    permit = breaker.admit()
    breaker.configure(replace(AUTO))
    permit.failed()
    assert breaker.snapshot().calls == 1
    assert heard.changes == []


def test_an_open_time_runs_on_under_new_rules() -> None:
    """What a caller was told holds."""
    breaker = a_breaker(FakeClock())
    trip(breaker)
    breaker.configure(BreakerPolicy(open_s=60.0, open_max_s=60.0))
    assert breaker.retry_after_s == pytest.approx(2.0)


def test_listeners_hear_every_change_with_what_was_before() -> None:
    """Each change is told once, in order, with the breaker as it was and as it is."""
    clock, heard = FakeClock(), Heard()
    breaker = closed_again(clock, heard)
    breaker.configure(FORCED_OPEN)
    breaker.configure(AUTO)
    breaker.configure(METRICS_ONLY)
    breaker.configure(AUTO)
    assert heard.states == ["open", "half-open", "closed", "open", "half-open", "closed", "closed"]
    opened = heard.changes[0]
    assert (opened[0].state, opened[0].failure_rate, opened[0].generation) == (BreakerState.CLOSED, 1.0, 0)
    assert (opened[1].reason, opened[1].retry_after_s, opened[1].generation) == (Reason.CONSECUTIVE_FAILURES, 2.0, 1)
    assert [after.mode for _, after in heard.changes[3:]] == ["forced_open", "auto", "metrics_only", "auto"]
    for (_, after), (before, _) in zip(heard.changes, heard.changes[1:], strict=False):
        assert (before.state, before.generation, before.mode) == (after.state, after.generation, after.mode)


class Broken:
    """A listener that raises."""

    def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
        raise ZeroDivisionError


def test_a_listener_that_raises_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The breaker opens, pybreaker shows it, and the listeners after the broken one hear of it."""
    heard = Heard()
    breaker = a_breaker(FakeClock(), Broken(), heard)
    with caplog.at_level(logging.ERROR):
        trip(breaker)
    assert breaker.mirror.current_state == "open"
    assert heard.states == ["open"]
    [record] = caplog.records
    assert record.getMessage() == "breaker main/m: a listener failed"
    assert record.exc_info is not None


class Meddler(Heard):
    """A listener that acts on what it hears: what has opened is to stay open until somebody looks."""

    breaker: Breaker

    def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
        super().changed(before, after)
        if after.reason is Reason.CONSECUTIVE_FAILURES:
            self.breaker.configure(FORCED_OPEN)


def test_a_listener_may_act_on_the_breaker() -> None:
    """What it causes is told after what caused it, to everybody in that order, and pybreaker shows the last."""
    meddler, heard = Meddler(), Heard()
    meddler.breaker = breaker = a_breaker(FakeClock(), meddler, heard)
    trip(breaker)
    assert breaker.mode is BreakerMode.FORCED_OPEN
    assert [after.reason for _, after in heard.changes] == [Reason.CONSECUTIVE_FAILURES, Reason.FORCED_OPEN]
    assert [after.reason for _, after in meddler.changes] == [Reason.CONSECUTIVE_FAILURES, Reason.FORCED_OPEN]
    assert breaker.mirror.current_state == "open"


class Closer(Heard):
    """A listener that switches the breaker off as soon as it opens."""

    breaker: Breaker

    def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
        super().changed(before, after)
        if after.state is BreakerState.OPEN:
            self.breaker.configure(METRICS_ONLY)


def test_pybreaker_shows_what_a_listener_made_of_it() -> None:
    """Opened and closed again within one verdict, both are closed in the end."""
    closer = Closer()
    closer.breaker = breaker = a_breaker(FakeClock(), closer)
    fail(breaker, 5)
    assert closer.states == ["open", "closed"]
    assert (breaker.state, breaker.mirror.current_state) == ("closed", "closed")


def test_a_listener_may_shut_the_door_it_was_told_of() -> None:
    """The call that made it half-open is not let in when a listener forces it open."""
    clock = FakeClock()

    class Guard(Heard):
        def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
            if after.state is BreakerState.HALF_OPEN and after.mode is BreakerMode.AUTO:
                breaker.configure(FORCED_OPEN)

    breaker = a_breaker(clock, Guard())
    trip(breaker)
    clock.now += 2.0
    with pytest.raises(BreakerOpen) as refused:
        breaker.admit()
    assert refused.value.reason == "forced_open"


def test_what_interrupts_a_listener_does_not_silence_the_breaker() -> None:
    """An interrupt goes on its way; the next change is told again."""

    class Interrupted(Heard):
        def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
            super().changed(before, after)
            if len(self.changes) == 1:
                raise KeyboardInterrupt

    clock, heard = FakeClock(), Interrupted()
    breaker = a_breaker(clock, heard)
    with pytest.raises(KeyboardInterrupt):
        fail(breaker, 5)
    clock.now += 2.0
    breaker.admit()
    assert heard.states == ["open", "half-open"]
    assert breaker.mirror.current_state == "half-open"


def test_half_open_again_after_forced_open_keeps_the_reason() -> None:
    """Half-open shows why it had been open."""
    breaker = half_opened(FakeClock())
    assert breaker.snapshot().reason is Reason.CONSECUTIVE_FAILURES
    breaker.configure(FORCED_OPEN)
    breaker.configure(AUTO)
    assert breaker.snapshot().reason is Reason.FORCED_OPEN
