"""An agent replica that is asked to stop: its runs come to their ends with everything that they stand on."""

import asyncio
from types import SimpleNamespace
from typing import Any

from deployments.agent import AgentReplica
from services.limits.budgets import Amount
from tests.services.limits.test_treasury import COST, EXPECTED, MOST, USED, HurriedNaps, World, payer


class Replica(AgentReplica):
    """Garbage collection calls `__del__` without awaiting it; Serve awaits it."""

    def __del__(self) -> None:  # type: ignore[override]
        return


async def nothing(*_: Any) -> bool:
    return True


async def test_runs_that_drain_are_paid_for() -> None:
    """What settles outlives the runs, and what takes further runs does not; what is measured until then is passed on last."""
    world = World(sleep=HurriedNaps())
    taking = asyncio.create_task(asyncio.Event().wait())
    settling = asyncio.create_task(world.treasury.settle_forever())
    held = await world.treasury.purse(payer()).reserve("mini", MOST, EXPECTED)
    order: list[str] = []

    async def shut_down(_: float) -> None:
        order.append("taking" if not taking.cancelling() else "draining")
        await held.settle(USED)

    parts: Any = SimpleNamespace(
        chores=(taking,),
        settlers=(settling,),
        keeper=SimpleNamespace(shut_down=shut_down),
        drain_s=1.0,
        settling=SimpleNamespace(settle=nothing),
        treasury=world.treasury,
        quota_stores=SimpleNamespace(aclose=nothing),
        webhooks=None,
        shedding=SimpleNamespace(stop=lambda: None),
        tracing=SimpleNamespace(aclose=nothing),
        routes=(),
        embeddings=None,
        pages=SimpleNamespace(aclose=nothing),
        database=SimpleNamespace(close=nothing),
        meter=SimpleNamespace(close=lambda: order.append("meter")),
    )
    replica = Replica.__new__(Replica)
    replica._parts = parts
    await AgentReplica.__del__(replica)
    assert order == ["draining", "meter"]
    assert settling.cancelled()
    assert await world.books.owed() == (COST, Amount())
