"""What a run is granted, and when it is given back: never twice, and never kept by a run that there is not."""

import asyncio

import pytest

from services.errors import ContentBlocked, Overloaded, RateLimitExceeded, ThreadBusy
from services.guard import Action, Verdict
from services.types import IdempotencyKey, Multitask, RunRequest, Submission
from tests.services.runs.ingress_world import ANN, ASK, DONE, STARTED, Hangs, World, batch


async def settled(world: World) -> list[str]:
    await world.service.settled()
    return world.grants.told


async def test_a_run_that_an_agent_has_is_the_agents_to_settle() -> None:
    world = World(STARTED, DONE)
    run = await world.start()
    await run.aclose()
    assert await settled(world) == ["admit"]
    assert world.grants.held == {run.run.id}


async def test_a_run_that_is_not_granted_is_neither_screened_nor_stored() -> None:
    world = World(STARTED, DONE)
    world.faults.failures["admit"] = [RateLimitExceeded("Enough.", retry_after_s=3.0)]
    with pytest.raises(RateLimitExceeded):
        await world.start()
    assert await settled(world) == []
    assert (world.guard.texts, world.tables.runs) == ([], {})


async def test_a_run_that_the_guard_refuses_gives_back_what_it_was_granted() -> None:
    world = World(STARTED, DONE)
    world.guard.verdict = Verdict(action=Action.BLOCK, rule="word", message="No.")
    with pytest.raises(ContentBlocked):
        await world.start()
    assert await settled(world) == ["admit", "unused"]


async def test_a_turn_that_its_thread_refuses_gives_back_what_it_was_granted() -> None:
    world = World(STARTED, DONE)
    world.faults.failures["create"] = [ThreadBusy("One at a time.")]
    with pytest.raises(ThreadBusy):
        await world.start()
    assert await settled(world) == ["admit", "unused"]


async def test_a_client_that_leaves_while_it_is_asked_for_keeps_nothing() -> None:
    """What was asked for comes to its end, and is given back then."""
    world = World(STARTED, DONE)
    asking = world.faults.hangs["admit"] = Hangs()
    starting = asyncio.create_task(world.start())
    await asking.reached.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    asking.go.set()
    assert await settled(world) == ["admit", "unused"]
    assert world.tables.runs == {}


async def test_a_run_that_no_agent_takes_holds_no_place() -> None:
    """Its tokens stay charged: it is stored, and somebody may have it all the same."""
    world = World(Overloaded("Later."))
    with pytest.raises(Overloaded):
        await world.start()
    assert await settled(world) == ["admit", "idle"]


async def test_a_turn_that_waits_for_its_thread_holds_no_place() -> None:
    world = World(STARTED, silent=True)
    first = await world.start()
    waiting = RunRequest(
        graph="react",
        messages=ASK.messages,
        thread_id=first.run.thread_id,
        submission=Submission(multitask=Multitask.ENQUEUE),
    )
    second = await world.start(waiting)
    await second.aclose()
    await first.aclose()
    assert await settled(world) == ["admit", "admit", "idle"]
    assert world.grants.held == {first.run.id}


async def test_a_request_that_came_before_gives_back_what_it_was_granted() -> None:
    world = World(STARTED, batch(1), DONE)
    key = Submission(idempotency=IdempotencyKey(key="k", digest=b"d" * 32))
    asked = RunRequest(graph="react", messages=ASK.messages, submission=key)
    first = await world.start(asked)
    again = await world.start(asked)
    assert again.run.id == first.run.id
    await again.aclose()
    await first.aclose()
    assert await settled(world) == ["admit", "admit", "unused"]


async def test_a_background_run_is_granted_like_any_other() -> None:
    world = World(STARTED, DONE)
    await world.service.submit(ANN, RunRequest(graph="react", messages=ASK.messages, background=True))
    assert await settled(world) == ["admit", "idle"]
