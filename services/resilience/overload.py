"""When this process has more to do than it can, and what it then refuses: the least important work first.

What is measured is how late a timer of the event loop is, for that is what every answer of this process waits for,
and, where it is asked for, how much of the memory is used. The thresholds are those of Envoy's overload manager for
memory; for the lag they follow from what it does to a client: at 0.25 s a token comes noticeably late, at 2 s a turn
had better begin elsewhere.

Weaknesses: each replica judges itself and knows nothing of the others; the evaluator's replicas have monitors of
their own, so evaluation is shed by them or, where it runs in an agent's process, by that process' monitor. The lag is
known when the timer fires, so what arrived while the loop stood still may be admitted before it. Memory that Python
does not give back keeps new turns away until the replica is replaced, which the log says.
"""

import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from services.errors import ConfigurationError, Overloaded
from services.resilience.priority import Priority, come_back_s
from services.runs.buffer import Timer, call_later

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPolicy:
    """From where each kind of work is refused. Lags are seconds, memory shares of one.

    Raises ConfigurationError for numbers with which work would be refused for ever.
    """

    evaluation_lag_s: float = 0.25
    background_lag_s: float = 0.5
    new_turn_lag_s: float = 2.0
    resume_lag_s: float = 5.0
    lag_recovery: float = 0.5
    """Work is taken on again below this share of the lag that it was refused from."""
    background_memory: float = 0.92
    """Evaluation too."""
    new_turn_memory: float = 0.95
    memory_recovery: float = 0.02
    """Work is taken on again so far below the share that it was refused from."""
    interval_s: float = 0.25
    smoothing_s: float = 1.0
    """The lag is averaged over about this time."""

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"load.{name} must be more than 0.", param=f"load.{name}")
        if self.lag_recovery > 1:
            raise ConfigurationError("load.lag_recovery must be a share of one.", param="load.lag_recovery")

    def lag_of(self, priority: Priority) -> float:
        return {
            Priority.EVALUATION: self.evaluation_lag_s,
            Priority.BACKGROUND: self.background_lag_s,
            Priority.NEW_TURN: self.new_turn_lag_s,
            Priority.RESUME: self.resume_lag_s,
        }[priority]

    def memory_of(self, priority: Priority) -> float:
        """Resuming costs no memory worth mentioning: it is never refused for it."""
        return {
            Priority.EVALUATION: self.background_memory,
            Priority.BACKGROUND: self.background_memory,
            Priority.NEW_TURN: self.new_turn_memory,
            Priority.RESUME: math.inf,
        }[priority]


@dataclass(slots=True, kw_only=True)
class Threshold:
    """Passed from `on_at`, until the value falls below `off_at`."""

    on_at: float
    off_at: float
    passed: bool = False

    def look(self, value: float) -> bool:
        self.passed = value >= (self.off_at if self.passed else self.on_at)
        return self.passed


class LoadMonitor:
    """Looks at the load every `interval_s` between `start` and `stop`. Health checks and cancelling do not ask it.

    `memory_share` returns the used share of the memory that this process may use, 0 to 1; None: memory is not looked at.
    """

    def __init__(
        self,
        policy: LoadPolicy = LoadPolicy(),
        *,
        memory_share: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], Timer] = call_later,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._memory_share = memory_share
        self._clock = clock
        self._call_later = call_later
        self._random = random
        self._lags = {p: _lag_threshold(policy, p) for p in Priority}
        self._memories = {p: _memory_threshold(policy, p) for p in Priority}
        self._shed: frozenset[Priority] = frozenset()
        self._lag_s = 0.0
        self._timer: Timer | None = None
        self._looked_at = clock()

    @property
    def lag_s(self) -> float:
        """How late the event loop has been of late, in seconds."""
        return self._lag_s

    def start(self) -> None:
        """Begin to look, on the running loop. Does nothing when it has begun."""
        if self._timer is None:
            self._next()

    def stop(self) -> None:
        """Look no more; what is refused stays as it is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def sheds(self, priority: Priority) -> bool:
        """Whether such work is refused at present."""
        return priority in self._shed

    def admit(self, priority: Priority) -> None:
        """Return, or raise Overloaded with the seconds to come back after."""
        if priority in self._shed:
            text = "This replica has more to do than it can at the moment."
            raise Overloaded(text, retry_after_s=come_back_s(self._lag_s, self._random))

    def _next(self) -> None:
        self._looked_at = self._clock()
        self._timer = self._call_later(self._policy.interval_s, self._look)

    def _look(self) -> None:
        elapsed_s = self._clock() - self._looked_at
        # First, so that a memory that cannot be read does not end the looking.
        self._next()
        lag_s = max(0.0, elapsed_s - self._policy.interval_s)
        self._lag_s += (lag_s - self._lag_s) * (1 - math.exp(-elapsed_s / self._policy.smoothing_s))
        memory = self._memory_share() if self._memory_share is not None else 0.0
        shed = frozenset(p for p in Priority if self._lags[p].look(self._lag_s) | self._memories[p].look(memory))
        if shed != self._shed:
            names = ", ".join(p.name.lower() for p in sorted(shed)) or "nothing"
            logger.warning(
                "refusing %s: the event loop is %.2f s late, memory %.0f %%", names, self._lag_s, memory * 100
            )
            self._shed = shed


def _lag_threshold(policy: LoadPolicy, priority: Priority) -> Threshold:
    on_at = policy.lag_of(priority)
    return Threshold(on_at=on_at, off_at=on_at * policy.lag_recovery)


def _memory_threshold(policy: LoadPolicy, priority: Priority) -> Threshold:
    on_at = policy.memory_of(priority)
    return Threshold(on_at=on_at, off_at=on_at - policy.memory_recovery)
