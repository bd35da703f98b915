"""The circuit breaker before one upstream: who is let in, and how a call says what became of it.

    with breaker.admit() as permit:      # raises BreakerOpen
        first = await ...                # cancelled, or refused for its own fault: no verdict, nothing is counted
        permit.alive(waited_s)           # or late(), failed(), throttled()
        ...                              # failed() after alive(): the answer broke

One per replica, upstream, model and key. Nothing here awaits, so there is no lock, and a breaker belongs to one event loop.
"""

import random as dice
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import pybreaker

from services.resilience.circuit import NEVER, SOON_S, Circuit, Refusal
from services.resilience.mirror import (
    HALF_OPEN,
    OPEN,
    BreakerListener,
    BreakerSnapshot,
    BreakerState,
    Mirror,
    Reason,
)
from services.resilience.policy import BreakerMode, BreakerPolicy, FailureKind
from services.resilience.window import Bucket

__all__ = [
    "Breaker",
    "BreakerListener",
    "BreakerOpen",
    "BreakerSnapshot",
    "BreakerState",
    "Permit",
    "Reason",
    "Refusal",
]


class BreakerOpen(pybreaker.CircuitBreakerError):
    """The call is not let in. `reason` says why, `retry_after_s` in how many seconds it is worth another try.

    Where that hangs on other calls it is a guess of 1 s, where it hangs on an operator (`forced_open`) the longest wait.
    """

    def __init__(self, name: str, reason: Refusal, retry_after_s: float) -> None:
        super().__init__(f"{name}: {reason}, try again in {retry_after_s:.1f} s")
        self.reason = reason
        self.retry_after_s = retry_after_s


_WAITING, _LATE, _ALIVE, _OVER = range(4)
"""How far a call has come."""


class Permit:
    """One admitted call. Whoever holds it releases it, best by `with`: leaving is no verdict, whatever is raised.

    A verdict on a call that is over, or that began before the breaker changed its state, does nothing.
    """

    __slots__ = ("_alternative", "_circuit", "_counted", "_generation", "_stage")

    def __init__(self, circuit: Circuit, *, alternative: bool) -> None:
        self._circuit = circuit
        self._alternative = alternative  # without one, slow is better than nothing
        self._generation = circuit.generation
        self._stage = _WAITING
        self._counted: Bucket | None = None

    def alive(self, latency_s: float) -> None:
        """The first content came after `latency_s`, or a call without a stream ended well: a success, or slow by its latency.

        Its first time counts.
        """
        stage, circuit = self._stage, self._circuit
        now = circuit.clock()
        if stage < _ALIVE and circuit.generation_at(now) == self._generation:
            self._stage = _ALIVE
            self._counted = circuit.alive(self, now, latency_s, late=stage == _LATE, forgiven=not self._alternative)

    def late(self) -> None:
        """`slow_after_s` passed without content: counts as slow now, and not again if content comes after all."""
        circuit = self._circuit
        now = circuit.clock()
        if self._alternative and self._stage == _WAITING and circuit.generation_at(now) == self._generation:
            self._stage = _LATE
            self._counted = circuit.late(now)

    def failed(self, kind: FailureKind = FailureKind.TRANSIENT, *, retry_after_s: float | None = None) -> None:
        """The upstream failed the call: before `alive` a failure, after it an answer that broke, which has its own rate.

        `retry_after_s` is what a transient failure's Retry-After said; it counts if this failure opens the breaker.
        """
        stage, circuit = self._stage, self._circuit
        now = circuit.clock()
        if stage < _OVER and circuit.generation_at(now) == self._generation:
            self._stage = _OVER
            circuit.failed(now, kind, retry_after_s, counted=self._counted, began=stage == _ALIVE)

    def throttled(self, retry_after_s: float | None) -> None:
        """429: the upstream is well and wants quiet. Nobody is admitted until then, and the state stays as it is."""
        circuit = self._circuit
        now = circuit.clock()
        if self._stage < _OVER and circuit.generation_at(now) == self._generation:
            self._stage = _OVER
            circuit.throttled(self, now, retry_after_s)

    def release(self) -> None:
        """The call is over. Without a verdict before, it counts for nothing. May be called again."""
        self._stage = _OVER
        self._circuit.probes.give_back(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Breaker:
    """Lets calls through to one upstream, unless that is ill.

    Counts a call when its verdict comes, which is soon, since it comes with the first content: how long answers take does
    not blur it. `clock` is monotonic seconds; `random` gives floats below 1 for the jitter. Listeners hear of every change
    of state or mode, within the call that caused it.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy = BreakerPolicy(),  # noqa: B008  frozen
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = dice.random,
        listeners: Sequence[BreakerListener] = (),
    ) -> None:
        self.name = name
        self._circuit = Circuit(name, policy, clock=clock, random=random, listeners=listeners)
        self._panic_at = NEVER

    def admit(self, *, alternative: bool = True) -> Permit:
        """Let one call in. Raises BreakerOpen.

        `alternative` says whether somebody else could take the call: only then does a slow start turn it away.
        """
        circuit = self._circuit
        now = circuit.clock()
        circuit.generation_at(now)
        refusal = circuit.refusal_at(now)
        if refusal is not None:
            raise BreakerOpen(self.name, *refusal)
        if circuit.state is OPEN:
            circuit.half_open(now)
            return self.admit(alternative=alternative)  # anew: a listener may have had its say
        if now < circuit.slow_start.ends and alternative and circuit.slow_start.sheds(circuit.policy, now):
            raise BreakerOpen(self.name, "slow_start", SOON_S)
        permit = Permit(circuit, alternative=alternative)
        if circuit.state is HALF_OPEN:
            circuit.probes.lease(permit, now + circuit.policy.probe_lease_s)
        return permit

    def admit_in_panic(self) -> Permit | None:
        """Let one call through although the breaker is open, for when there is nobody else to ask: breakers can be wrong.

        Success makes it half-open with this as its first success; a transient failure changes nothing, while a refused
        key or an empty quota opens it for that. Returns None when it is not open, or open for one of those, or forced
        open; when the upstream throttles us; and when the last such call was less than `panic_interval_s` ago.
        """
        circuit = self._circuit
        now = circuit.clock()
        circuit.generation_at(now)
        if (
            circuit.state is not OPEN
            or circuit.policy.mode is BreakerMode.FORCED_OPEN
            or circuit.kind is not FailureKind.TRANSIENT
            or now < max(circuit.cooldown_until, self._panic_at)
        ):
            return None
        self._panic_at = now + circuit.policy.panic_interval_s
        return Permit(circuit, alternative=False)

    @property
    def state(self) -> BreakerState:
        """OPEN lasts until a call is admitted as a probe, however long its time has been over."""
        self._circuit.generation_at(self._circuit.clock())
        return self._circuit.state

    @property
    def mode(self) -> BreakerMode:
        return self._circuit.policy.mode

    @property
    def slow_after_s(self) -> float:
        """Seconds without a first content after which a call is slow."""
        return self._circuit.slow_after_s

    @property
    def retry_after_s(self) -> float:
        """Seconds until a call may be admitted, as BreakerOpen would say; 0.0 when one would be now. Slow start apart."""
        return self.snapshot().retry_after_s

    @property
    def mirror(self) -> Mirror:
        """The same state, as pybreaker shows it."""
        return self._circuit.mirror

    def snapshot(self) -> BreakerSnapshot:
        """Return the breaker as it is now."""
        now = self._circuit.clock()
        self._circuit.generation_at(now)
        return self._circuit.snapshot_at(now)

    def configure(self, policy: BreakerPolicy) -> None:
        """Change the rules from now on; verdicts that are on their way count by the new ones.

        Times that already run keep their end, and another `window_s` or `bucket_s` begins an empty window. Leaving
        FORCED_OPEN goes to half-open. Entering METRICS_ONLY closes, without a slow start; leaving it keeps the counts.
        """
        self._circuit.configure(policy)
