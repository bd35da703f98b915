"""`multitask_strategy`: what becomes of a turn that is sent to a thread which has one."""

import asyncio
from typing import Any

import pytest

from services.events import TextDelta
from tests.deployments.http.fakes import Rig
from tests.deployments.http.scripted_agent import COMPLETED

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello."}]}


async def test_a_turn_may_wait_for_the_one_before_it() -> None:
    """With `enqueue` it has its headers, and is streamed when its turn has come."""
    rig = Rig()
    gate = asyncio.Event()
    rig.agent.steps = (gate, TextDelta(text="first"), COMPLETED)
    async with rig.client() as client:
        first = asyncio.create_task(client.post("/chat/stream", json=ASK))
        await rig.agent.waiting.wait()
        thread_id = str(rig.all_runs[0].thread_id)
        behind = {"thread_id": thread_id, "multitask_strategy": "enqueue"}
        second = asyncio.create_task(client.post("/chat/stream", json=ASK | behind))
        await rig.run_store.queued.wait()
        place = (await client.get(f"/runs/{rig.all_runs[1].id}")).json()
        gate.set()
        await first
        rig.agent.steps = (TextDelta(text="second"), COMPLETED)
        await rig.agent.work()
        streamed = await second
    assert (place["status"], place["position"]) == ("queued", 0)
    assert b"second" in streamed.content
    assert len(rig.agent.tickets) == 1


@pytest.mark.parametrize(("strategy", "left"), [("interrupt", ["Say hello.", "Hel"]), ("rollback", [])])
async def test_a_turn_may_stop_the_one_before_it(strategy: str, left: list[str]) -> None:
    """Its reader is told, and what it had said is kept or is as if it had not been."""
    rig = Rig()
    rig.agent.steps = (TextDelta(text="Hel"), asyncio.Event(), COMPLETED)
    async with rig.client() as client:
        first = asyncio.create_task(client.post("/chat/stream", json=ASK))
        await rig.agent.waiting.wait()
        thread_id = str(rig.all_runs[0].thread_id)
        body = {"messages": [{"role": "user", "content": "No."}], "thread_id": thread_id}
        second = asyncio.create_task(client.post("/chat/stream", json=body | {"multitask_strategy": strategy}))
        stopped = await first
        rig.agent.steps = (TextDelta(text="Well."), COMPLETED)
        await rig.agent.work()
        await second
        said = (await client.get(f"/threads/{thread_id}/messages")).json()["messages"]
    assert 'event: run_cancelled\ndata: {"reason":"next_turn"' in stopped.text
    assert [message["content"] for message in said] == [*left, "No.", "Well."]
