"""A limit on a timeline, and those who ask it for places."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from services.errors import DeadlineExceeded, MainstayError, Overloaded
from services.resilience.limit import AdaptiveLimit, LimitPolicy, Slot
from services.resilience.priority import Priority
from services.runs.deadline import Deadline
from tests.services.resilience.timeline import Timeline, settle

TURN = Priority.NEW_TURN


def a_limit(time: Timeline, places: int | None = None, **policy: Any) -> AdaptiveLimit:
    """A limit on `time`; with `places` a static one."""
    if places is not None:
        policy |= {"initial": places, "min_limit": places, "max_limit": places}
    return AdaptiveLimit(LimitPolicy(**policy), clock=time, call_later=time.call_later, random=lambda: 0.0)


@dataclass
class Callers:
    """Those who ask a limit for a place, each in a task of its own; `served` are their names in the order they got one."""

    limit: AdaptiveLimit
    time: Timeline
    served: list[str] = field(default_factory=list)
    slots: dict[str, Slot] = field(default_factory=dict)
    refused: dict[str, MainstayError] = field(default_factory=dict)

    async def come(self, *names: str, priority: Priority = TURN, within_s: float = 60.0) -> None:
        """Callers ask, one after the other, and get as far as they can."""
        for name in names:
            asyncio.get_running_loop().create_task(self._call(name, priority, within_s))
            await settle()

    async def _call(self, name: str, priority: Priority, within_s: float) -> None:
        try:
            self.slots[name] = await self.limit.acquire(priority, Deadline.after(within_s, self.time))
        except (Overloaded, DeadlineExceeded) as error:
            self.refused[name] = error
        else:
            self.served.append(name)

    async def leave(self, name: str) -> None:
        self.slots[name].release()
        await settle()


async def learn(limit: AdaptiveLimit, time: Timeline, latency_s: float) -> None:
    """Fill one window, so that the limit knows a latency."""
    time.now += 0.25
    for _ in range(20):
        (await limit.acquire(TURN, Deadline.after(60.0, time))).answered(latency_s)
