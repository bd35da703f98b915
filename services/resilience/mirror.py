"""What a breaker shows: its named states, carried by pybreaker, and its listeners.

pybreaker is told, never asked, and never near a call. Round an await it cannot count, it takes a client's hang-up for a
failure, caps no probes and reads the wall clock; and a listener that raises keeps it from opening
(`tests/services/resilience/test_pybreaker.py` shows all of that). What is left is what it is good at: a known name for
each state and a hook at every change.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import pybreaker

from services.resilience.policy import BreakerMode

logger = logging.getLogger(__name__)

NEVER = 2**31
"""Failures after which pybreaker would open by itself. It is not told of any."""


class BreakerState(StrEnum):
    """In pybreaker's own words."""

    CLOSED = pybreaker.STATE_CLOSED
    OPEN = pybreaker.STATE_OPEN
    HALF_OPEN = pybreaker.STATE_HALF_OPEN


CLOSED, OPEN, HALF_OPEN = BreakerState
"""For the path of every call: to look a member up in its enum takes Python 3.11 ten times as long as to compare it."""


class Reason(StrEnum):
    """Why a breaker is not closed. Half-open has the reason for which it had opened."""

    NONE = ""
    FAILURE_RATE = "failure_rate"
    SLOW_RATE = "slow_rate"
    BROKEN_RATE = "broken_rate"
    CONSECUTIVE_FAILURES = "consecutive_failures"
    QUOTA = "quota"
    AUTH = "auth"
    PROBE_FAILED = "probe_failed"
    PROBE_SLOW = "probe_slow"
    PROBES_UNDECIDED = "probes_undecided"
    FORCED_OPEN = "forced_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSnapshot:
    """A breaker at one moment. Times are seconds from then on; rates are shares of the window's calls."""

    name: str
    state: BreakerState
    mode: BreakerMode
    generation: int
    reason: Reason
    retry_after_s: float
    calls: int
    failure_rate: float
    slow_rate: float
    cooldown_s: float


class BreakerListener(Protocol):
    """Told of every change of state or mode, after it happened. What it raises is logged and changes nothing."""

    def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None: ...


class Mirror:
    """One `pybreaker.CircuitBreaker`, moved after the fact, and through it the listeners."""

    def __init__(self, name: str, listeners: Sequence[BreakerListener]) -> None:
        relays = [_Relay(self, listener) for listener in listeners]
        self._carrier = pybreaker.CircuitBreaker(fail_max=NEVER, name=name, listeners=relays)
        self._changes: deque[tuple[BreakerSnapshot, BreakerSnapshot]] = deque()

    @property
    def current_state(self) -> str:
        """The state as pybreaker names it."""
        return self._carrier.current_state

    @property
    def change(self) -> tuple[BreakerSnapshot, BreakerSnapshot]:
        """The change that is being shown: before and after."""
        return self._changes[0]

    def show(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
        """Move pybreaker, which tells the listeners. What a listener causes meanwhile is shown when it is its turn."""
        self._changes.append((before, after))
        if len(self._changes) > 1:
            return
        try:
            while self._changes:
                self._move(self._changes[0][1].state)
                self._changes.popleft()
        finally:
            self._changes.clear()

    def _move(self, state: BreakerState) -> None:
        if state is OPEN:
            self._carrier.open()
        elif state is HALF_OPEN:
            self._carrier.half_open()
        else:
            self._carrier.close()


class _Relay(pybreaker.CircuitBreakerListener):
    """A listener as pybreaker knows it, which never raises: pybreaker would not change its state then."""

    def __init__(self, mirror: Mirror, listener: BreakerListener) -> None:
        self._mirror = mirror
        self._listener = listener

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        try:
            self._listener.changed(*self._mirror.change)
        except Exception:  # a listener is anybody's code; whatever it raises, the breaker must open
            logger.exception("breaker %s: a listener failed", cb.name)
