"""A point in time after which nobody waits any more, handed from hop to hop as the seconds that remain."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from services.errors import DeadlineExceeded

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """An absolute time on the local monotonic clock; processes do not share it, so only `remaining_s` may travel."""

    at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> "Deadline":
        return cls(at=clock() + seconds, clock=clock)

    def remaining_s(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - self.clock())

    def clamp(self, timeout_s: float) -> float:
        """Return `timeout_s`, or what is left if that is less. Raises DeadlineExceeded when nothing is left."""
        remaining = self.remaining_s()
        if remaining <= 0.0:
            raise DeadlineExceeded("The run reached its time limit.")
        return min(timeout_s, remaining)
