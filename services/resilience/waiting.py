"""Who waits for a place, and in which order they get it.

The higher priority first. Within one priority first come, first served, until its oldest has waited for longer than
`lifo_after_s`: then the newest is served first, because whoever has waited that long is likely to give up before the
answer comes, and serving in order would make everybody wait that long ("adaptive LIFO", Ben Maurer, Fail at Scale,
ACM Queue 13(8), 2015).

Weakness: priorities are strict. While the higher ones fill the places, the lower ones wait until their time is over.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from services.errors import MainstayError
from services.resilience.priority import Priority


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waiter:
    """One caller. `turn` becomes None when it is called, or the error that it is refused with. `since` is the line's clock."""

    priority: Priority
    since: float
    turn: asyncio.Future[MainstayError | None]

    @property
    def called(self) -> bool:
        return self.turn.done() and not self.turn.cancelled() and self.turn.result() is None


class WaitingLine:
    """Those who wait. Holds no timer and never refuses anybody: when a wait ends is its owner's decision."""

    def __init__(self, *, lifo_after_s: float, clock: Callable[[], float]) -> None:
        self._lifo_after_s = lifo_after_s
        self._clock = clock
        self._lanes: tuple[OrderedDict[Waiter, None], ...] = tuple(OrderedDict() for _ in Priority)
        self.count = 0
        """How many wait, including those who have been cancelled and not yet had the loop's attention."""

    @property
    def late(self) -> bool:
        """Whether somebody has waited for longer than `lifo_after_s`."""
        return any(map(self._is_late, self._lanes))

    def join(self, priority: Priority) -> Waiter:
        turn: asyncio.Future[MainstayError | None] = asyncio.get_running_loop().create_future()
        waiter = Waiter(priority=priority, since=self._clock(), turn=turn)
        self._lanes[priority][waiter] = None
        self.count += 1
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Forget a waiter, who may be gone already."""
        lane = self._lanes[waiter.priority]
        if waiter in lane:
            del lane[waiter]
            self.count -= 1

    def call(self) -> bool:
        """Tell the next one that it is its turn. False when nobody waits."""
        for lane in reversed(self._lanes):
            while lane:
                waiter, _ = lane.popitem(last=self._is_late(lane))
                self.count -= 1
                if not waiter.turn.done():
                    waiter.turn.set_result(None)
                    return True
        return False

    def ahead_of(self, priority: Priority) -> int:
        """How many would be called before somebody of this priority who came now."""
        ahead = sum(map(len, self._lanes[priority + 1 :]))
        lane = self._lanes[priority]
        return ahead if self._is_late(lane) else ahead + len(lane)

    def last_behind(self, priority: Priority) -> Waiter | None:
        """Who would be called last of all, if that is after somebody of this priority who came now."""
        for place, lane in enumerate(self._lanes[: priority + 1]):
            late = self._is_late(lane)
            if lane and (late or place < priority):
                return next(iter(lane)) if late else next(reversed(lane))
        return None

    def _is_late(self, lane: OrderedDict[Waiter, None]) -> bool:
        return bool(lane) and self._clock() - next(iter(lane)).since > self._lifo_after_s
