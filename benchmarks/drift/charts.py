"""`evaluation.drift.level` for many streams at once: the same charts over arrays. A test compares the two, answer by answer."""

import numpy as np

from benchmarks.drift.streams import Floats
from evaluation.drift.level import LevelPolicy

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]


class Charts:
    """The calm state of as many levels as there are streams. `known` is a mean and a deviation that need not be learnt."""

    def __init__(self, policy: LevelPolicy, streams: int, known: tuple[float, float] | None = None) -> None:
        self._policy = policy
        self._streams = streams
        self._known = known
        self.count, self.mean, self.squares = (np.zeros(self._streams) for _ in range(3))
        self.slow_fall, self.slow_rise, self.fast_fall, self.fast_rise = (np.zeros(self._streams) for _ in range(4))
        self.seen = 0

    def observe(self, values: Floats) -> tuple[Flags, Flags]:
        """Take one more answer of every stream; return in which a fall was seen, and in which a rise: those begin again."""
        policy = self._policy
        self.seen += 1
        if self._known is None and self.seen <= policy.warm_up:
            self._learn(values, np.ones(self._streams, dtype=bool))
            return np.zeros(self._streams, dtype=bool), np.zeros(self._streams, dtype=bool)
        z = np.clip(self._standardised(values), -policy.cap, policy.cap)
        self.slow_fall = np.maximum(self.slow_fall - z - policy.slow_allowance, 0)
        self.slow_rise = np.maximum(self.slow_rise + z - policy.slow_allowance, 0)
        self.fast_fall = np.maximum(self.fast_fall - z - policy.fast_allowance, 0)
        self.fast_rise = np.maximum(self.fast_rise + z - policy.fast_allowance, 0)
        fell = (self.slow_fall > policy.slow_limit) | (self.fast_fall > policy.fast_limit)
        rose = (self.slow_rise > policy.slow_limit) | (self.fast_rise > policy.fast_limit)
        if self._known is None:
            slow = np.maximum(self.slow_fall, self.slow_rise) / policy.slow_limit
            fast = np.maximum(self.fast_fall, self.fast_rise) / policy.fast_limit
            self._learn(values, np.maximum(slow, fast) <= policy.standstill)
        self._restart(fell | rose)
        return fell, rose

    def _standardised(self, values: Floats) -> Floats:
        if self._known is not None:
            known_mean, known_deviation = self._known
            return (values - known_mean) / known_deviation
        degrees = self.count - 1
        deviation = np.maximum(np.sqrt(self.squares / degrees), self._policy.min_deviation)
        t = (values - self.mean) / deviation * np.sqrt(self.count / (self.count + 1))
        size = (8 * degrees + 1) / (8 * degrees + 3) * np.sqrt(degrees * np.log1p(t * t / degrees))
        return np.copysign(size, t)

    def _learn(self, values: Floats, which: Flags) -> None:
        self.count = self.count + which
        distance = np.where(which, values - self.mean, 0)
        self.mean = self.mean + distance / self.count
        self.squares = self.squares + distance * (values - self.mean)

    def _restart(self, which: Flags) -> None:
        if which.any():
            for chart in (self.slow_fall, self.slow_rise, self.fast_fall, self.fast_rise):
                chart[which] = 0
