"""How many calls a provider carries at once, told from how long they take: the Gradient2 algorithm of Netflix.

https://github.com/Netflix/concurrency-limits, `Gradient2Limit` and `WindowedLimit`; their tolerance, smoothing, queue
size, warm-up and decay are kept. Three things differ, each because of what a time to first token looks like, which is
2 s at the median and 30 s at the 99th percentile:

- A sample counts for the recent latency at most as much as puts the gradient at its floor. Uncapped, three such
  outliers in a hundred samples bring the limit of a provider that never queues from 100 down to about 40 within a
  minute; capped, it grows to 240, where it grows to 265 without them (simulated).
- A window takes 0.25 s and 20 samples, not 1 s and 10: the limit follows a ramp four times as fast, and the mean of
  twenty is quiet enough that latencies that vary as much as their mean (an exponential distribution) do not bring it
  down.
- The base latency is averaged over time, not over a number of windows.

Weakness: an overload that lasts becomes the base latency, and the limit grows again. Where a provider queues beyond 60
calls and demand never ends, the limit is near 150 after half a minute, 240 after five, 390 after ten (simulated): what
ends it is `max_limit`, the provider's 429 or the breaker. Calls that end without content give no sample; they are the
breaker's matter.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from services.errors import ConfigurationError

MIN_GRADIENT = 0.5
"""No window takes away more than half, before smoothing."""

BASE_DECAY = 0.9
"""What is left of the base latency after a window that was more than twice as fast: an overload is over."""

WARM_UP_WINDOWS = 10
"""Over which the base latency is a plain mean."""

MAX_WINDOW_WEIGHT_S = 1.0
"""As much as a window counts for the base latency at most, however long an idle provider took to fill it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientPolicy:
    """The numbers of the algorithm. Limits are calls at once, per provider and replica; times are seconds.

    Raises ConfigurationError for numbers that would admit nothing or never settle.
    """

    initial: int = 100
    min_limit: int = 20
    max_limit: int = 1_000
    """Equal bounds make the limit static."""
    tolerance: float = 1.5
    """So many times the base latency is no sign of queueing yet."""
    smoothing: float = 0.2
    """The weight of a new estimate."""
    queue_size: int = 4
    """So many calls more are tried while latency is flat."""
    window_s: float = 0.25
    window_samples: int = 20
    """The limit is looked at anew after this time and so many samples, whichever is later."""
    base_window_s: float = 600.0
    """The time that the base latency is averaged over."""
    decrease_factor: float = 0.7
    """What a 429 leaves of the limit."""
    decrease_every_s: float = 1.0
    """At most once in this time."""

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"limit.{name} must be more than 0.", param=f"limit.{name}")
        for name in ("smoothing", "decrease_factor"):
            if getattr(self, name) > 1:
                raise ConfigurationError(f"limit.{name} must be a share of one.", param=f"limit.{name}")
        if self.min_limit > self.max_limit:
            raise ConfigurationError("limit.min_limit must not be more than max_limit.", param="limit.min_limit")


class Gradient:
    """The limit of one provider. `latency_s` is its recent time to first content, None before the first window."""

    def __init__(self, policy: GradientPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._exact = self._bounded(policy.initial)
        self.limit = int(self._exact)
        self.latency_s: float | None = None
        self._base_s = 0.0
        self._windows = 0
        self._cap_s = float("inf")
        self._decreased_at = float("-inf")
        self._begun_at = clock()
        self._count = self._busiest = 0
        self._sum_s = self._capped_sum_s = 0.0

    def sample(self, latency_s: float, in_use: int) -> None:
        """Count one call that took `latency_s` to its first content, and how many were under way when it came."""
        self._count += 1
        self._sum_s += latency_s
        self._capped_sum_s += latency_s if latency_s < self._cap_s else self._cap_s
        if in_use > self._busiest:
            self._busiest = in_use
        if self._count < self._policy.window_samples:
            return
        now = self._clock()
        if now - self._begun_at >= self._policy.window_s:
            self._learn(now - self._begun_at)
            self._begin(now)

    def decrease(self) -> None:
        """Give up a share of the limit: the provider says that it is too much.

        The refusals of calls that were under way together are one signal, not one each, as the losses of one window
        are in TCP.
        """
        now = self._clock()
        if now - self._decreased_at >= self._policy.decrease_every_s:
            self._decreased_at = now
            self._set(self._exact * self._policy.decrease_factor)

    def _learn(self, elapsed_s: float) -> None:
        mean_s = self._sum_s / self._count
        recent_s = self.latency_s = self._capped_sum_s / self._count
        self._base_s += (mean_s - self._base_s) * self._weight(elapsed_s)
        if self._base_s > 2 * recent_s:
            self._base_s *= BASE_DECAY
        if self._windows >= WARM_UP_WINDOWS:
            self._cap_s = self._base_s * self._policy.tolerance / MIN_GRADIENT
        # Where the callers do not use the limit, their latency says nothing about it.
        if self._busiest < self._exact / 2:
            return
        tolerated = self._policy.tolerance * self._base_s
        gradient = max(MIN_GRADIENT, min(1.0, tolerated / recent_s)) if recent_s > 0 else 1.0
        target = self._exact * gradient + self._policy.queue_size
        self._set(self._exact + (target - self._exact) * self._policy.smoothing)

    def _weight(self, elapsed_s: float) -> float:
        """Return a window's weight in the base latency: while warming up one of so many, then by the time it stands for."""
        self._windows += 1
        if self._windows <= WARM_UP_WINDOWS:
            return 1 / self._windows
        return min(1.0, 2 * min(elapsed_s, MAX_WINDOW_WEIGHT_S) / self._policy.base_window_s)

    def _begin(self, now: float) -> None:
        self._begun_at = now
        self._count = self._busiest = 0
        self._sum_s = self._capped_sum_s = 0.0

    def _set(self, exact: float) -> None:
        self._exact = self._bounded(exact)
        self.limit = int(self._exact)

    def _bounded(self, exact: float) -> float:
        return max(float(self._policy.min_limit), min(float(self._policy.max_limit), exact))
