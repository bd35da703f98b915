"""What the ingress knows of the agents' breakers: counted, not older than it must be, and never waited for long."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from deployments.remote import Handle, RemoteBreakers
from services.resilience.breaker import Breaker, BreakerSnapshot
from services.resilience.policy import BreakerMode, BreakerPolicy
from tests.services.runs.fakes import FakeClock

CLOSED = Breaker("main").snapshot()
OPEN = Breaker("main", BreakerPolicy(mode=BreakerMode.FORCED_OPEN)).snapshot()


class Agents:
    """Agent replicas and what each says; while `answering` is not set all of them are late."""

    def __init__(self, *replicas: Sequence[BreakerSnapshot] | BaseException) -> None:
        self.replicas = list(replicas)
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = 0

    def broadcast(self, method: str) -> "Agents":
        assert method == "breakers"
        self.asked += 1
        return self

    async def results_async(self, *, timeout_s: float, return_exceptions: bool) -> list[Any]:
        await self.answering.wait()
        return self.replicas


def view_of(agents: Agents, clock: FakeClock) -> RemoteBreakers:
    return RemoteBreakers(cast(Handle, agents), clock=clock, patience_s=0.01)


async def test_replicas_are_counted_by_state() -> None:
    """One that does not answer is left out."""
    agents = Agents([CLOSED], [CLOSED], [OPEN], TimeoutError())
    assert await view_of(agents, FakeClock())() == {"main": {"closed": 2, "open": 1}}


async def test_the_replicas_are_asked_once_a_second() -> None:
    """However often anybody asks us."""
    agents, clock = Agents([CLOSED]), FakeClock()
    view = view_of(agents, clock)
    for _ in range(5):
        await view()
    assert agents.asked == 1
    clock.now += 1.0
    agents.replicas = [[OPEN]]
    assert await view() == {"main": {"open": 1}}


async def test_late_replicas_delay_nobody_and_are_heard_all_the_same() -> None:
    """What was last known is told at once; what they say later is told next."""
    agents, clock = Agents([CLOSED]), FakeClock()
    view = view_of(agents, clock)
    await view()
    clock.now += 1.0
    agents.answering.clear()
    agents.replicas = [[OPEN]]
    assert await view() == {"main": {"closed": 1}}
    agents.answering.set()
    assert await view() == {"main": {"open": 1}}
    assert agents.asked == 2
