"""Time that passes when a test says so, for whatever takes a clock and a `call_later`."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False)
class ManualTimer:
    at: float
    callback: Callable[[], None]
    over: bool = False

    def cancel(self) -> None:
        self.over = True


class ManualTime:
    """A clock and its timers. `armed` counts every timer ever set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.armed = 0
        self._timers: list[ManualTimer] = []

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> ManualTimer:
        timer = ManualTimer(self.now + delay_s, callback)
        self.armed += 1
        self._timers.append(timer)
        return timer

    @property
    def pending(self) -> int:
        """Timers that will still fire."""
        return sum(not timer.over for timer in self._timers)

    def advance(self, seconds: float) -> None:
        """Let time pass; timers that come due fire in their order, each at its own moment."""
        end = self.now + seconds
        while due := [timer for timer in self._timers if not timer.over and timer.at <= end]:
            timer = min(due, key=lambda timer: timer.at)
            timer.over = True
            self.now = max(self.now, timer.at)
            timer.callback()
        self.now = end
