"""What a replica that is asked to stop does with its runs, and with ends that the store has not taken yet."""

import asyncio

import pytest

from services.errors import AgentLost, StoreUnavailable
from services.events import RunCompleted, TextDelta
from services.runs.types import GraphResult, RunContext
from services.types import RunStatus
from tests.services.runs.engine_world import World, answer, ask_model, read_until_text, rest, say
from tests.services.runs.turns import some_turns, until


async def test_drain_waits_and_then_gives_up() -> None:
    """A run that does not end in time is given up for others: its reader is sent on, its log kept, no end recorded."""
    world = World(ask_model)
    async with world.batches() as batches:
        await read_until_text(batches)
        await world.engine.drain(timeout_s=0.0)
        with pytest.raises(AgentLost):
            await rest(batches)
    assert world.closed.is_set()
    assert (world.runs.outcomes, world.observer.ended, world.engine.active) == ({}, [], 0)
    assert world.logged[-1] == TextDelta(text="one two three ")


async def test_drain_lets_runs_end() -> None:
    """A run that ends within the time is recorded, and its reader sees all of it."""
    go_on = asyncio.Event()

    async def slow(context: RunContext) -> GraphResult:
        await go_on.wait()
        return await answer(context)

    world = World(slow)
    reading = asyncio.create_task(world.events())
    await until(lambda: world.engine.active)
    draining = asyncio.create_task(world.engine.drain(timeout_s=60.0))
    await some_turns()
    go_on.set()
    await draining
    assert isinstance((await reading)[-1], RunCompleted)
    assert world.outcome.status is RunStatus.COMPLETED


async def test_a_run_that_was_being_stopped_is_not_given_up() -> None:
    """Its owner has promised that it ends: another replica would have to do it all over again."""
    slowly = asyncio.Event()

    async def cleans_up(context: RunContext) -> GraphResult:
        say(context, "words")
        try:
            await asyncio.Event().wait()
        finally:
            await slowly.wait()
        raise AssertionError

    world = World(cleans_up)
    async with world.batches() as batches:
        await read_until_text(batches)
        world.engine.stop(world.run.id, "client_disconnected")
        draining = asyncio.create_task(world.engine.drain(timeout_s=0.0))
        await some_turns()
        slowly.set()
        await draining
    assert world.outcome.status is RunStatus.CANCELLED


async def test_drain_tries_unstored_ends_once_more() -> None:
    """A replica that stops does not wait for its next try: what the store now takes is stored, and what it does not is left."""
    world = World(answer, record_tries=1)
    pause = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await pause.wait()

    world.engine._recorder._sleep = sleep
    world.runs.finish_failures = [StoreUnavailable("down"), StoreUnavailable("down")]
    await world.events()
    assert world.runs.outcomes == {}
    await world.engine.drain(timeout_s=0.0)
    assert world.runs.outcomes == {}
    await world.engine.drain(timeout_s=0.0)
    assert world.outcome.status is RunStatus.FAILED
    pause.set()


async def test_an_end_that_comes_too_late_is_not_this_attempts_to_record() -> None:
    """The run was taken over while its end waited for the store: it ends again, elsewhere."""
    world = World(answer, record_tries=1)
    world.runs.finish_failures = [StoreUnavailable("down")]
    await world.events()
    world.runs.take_over(world.run.id)
    await until(lambda: not world.engine.held)
    assert world.runs.outcomes == {}
