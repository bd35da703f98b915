"""Time that passes when a test says so, with the timers that are due in it."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count


class Due:
    """A timer. `cancel` may come at any time."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Timeline:
    """A clock, and the timers on it. Give itself as the clock and its `call_later` as the timer."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._timers: list[tuple[float, int, Due]] = []
        self._numbers = count()

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Due:
        due = Due(callback)
        heapq.heappush(self._timers, (self.now + delay_s, next(self._numbers), due))
        return due

    @property
    def pending(self) -> int:
        """Timers that are neither due nor cancelled."""
        return sum(due.callback is not None for _, _, due in self._timers)

    async def advance(self, seconds: float) -> None:
        """Let time pass. Each timer fires at its moment, and everybody it wakes acts before the next one does."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            at, _, due = heapq.heappop(self._timers)
            if due.callback is not None:
                self.now = max(self.now, at)
                due.callback()
                await settle()
        self.now = max(self.now, end)
        await settle()

    def stall(self, seconds: float) -> None:
        """Let time pass while the loop stands still: timers that are due fire late."""
        self.now += seconds


async def settle() -> None:
    """Let everybody act who can: a caller that is called, takes its place and answers needs a few turns of the loop."""
    for _ in range(6):
        await asyncio.sleep(0)
