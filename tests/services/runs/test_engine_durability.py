"""A run and its log: what is stored of it, when, and what that depends on."""

import asyncio
from dataclasses import replace
from typing import Any

from services.events import RunCompleted, RunStarted, TextDelta
from services.runs.types import GraphResult, RunContext
from services.types import OnDisconnect, Progress, RunStatus
from tests.services.runs.engine_world import CALL, TOOL, World, answer, read_until_text, rest, say
from tests.services.runs.fakes import a_checkpoint, a_run
from tests.services.runs.turns import some_turns, until


async def test_a_reader_who_leaves_while_an_event_is_being_stored_loses_nothing() -> None:
    """It was taken for the reader, who has not seen it: the log has it once, and all that follows."""
    go_on = asyncio.Event()

    async def act(context: RunContext) -> GraphResult:
        context.events.emit(TOOL)
        await go_on.wait()
        return await answer(context)

    world = World(act, run=a_run(on_disconnect=OnDisconnect.CONTINUE))
    world.runs.hold = asyncio.Event()
    async with world.batches() as batches:
        reading = asyncio.ensure_future(anext(batches))
        await until(lambda: world.runs.sent)
        reading.cancel()
        await asyncio.wait([reading])
    world.runs.hold.set()
    go_on.set()
    await world.observer.told.wait()
    assert [type(event) for event in world.logged] == [RunStarted, type(TOOL), TextDelta, RunCompleted]


async def test_an_end_need_not_wait_for_the_log() -> None:
    """It takes along what is on its way there, and whoever waited for that; what comes of it then concerns nobody."""

    async def act(context: RunContext) -> GraphResult:
        context.events.emit(TOOL)
        await world.speaking.wait()
        return await answer(context)

    world = World(act)
    world.runs.hold = asyncio.Event()
    reading = asyncio.create_task(world.events())
    await until(lambda: world.runs.sent)
    world.speaking.set()
    await some_turns()
    assert await reading == world.logged
    assert isinstance(world.logged[-1], RunCompleted)
    world.runs.hold.set()
    await some_turns()
    assert (len(world.runs.sent), world.outcome.status) == (1, RunStatus.COMPLETED)


async def test_a_log_that_refuses_a_run_which_has_just_ended_is_not_believed() -> None:
    """The rows were on their way when the end was recorded with them: it is that which tells the reader."""
    finishing = asyncio.Event()

    async def act(context: RunContext) -> GraphResult:
        context.events.emit(TOOL)
        await world.speaking.wait()
        return await answer(context)

    world = World(act)
    finish = world.runs.finish

    async def finishes_slowly(*args: Any) -> RunStatus:
        status = await finish(*args)
        await finishing.wait()
        return status

    world.runs.finish = finishes_slowly  # type: ignore[assignment, method-assign]
    world.runs.hold = asyncio.Event()
    reading = asyncio.create_task(world.events())
    await until(lambda: world.runs.sent)
    world.speaking.set()
    await until(lambda: world.runs.outcomes)
    world.runs.hold.set()
    await some_turns()
    finishing.set()
    assert await reading == world.logged


async def test_what_a_checkpoint_says_goes_into_the_log_with_it() -> None:
    """Whoever stores a checkpoint is given all of the log up to it, and the log does not store that once more."""

    async def act(context: RunContext) -> GraphResult:
        say(context, "kept")
        progress = context.progress()
        say(context, " after")
        rows = context.log.unstored()
        assert rows[0].first_seq == 0
        assert rows[-1].seq > progress.event_id.seq
        await world.runs.append(rows)
        context.log.confirm(rows)
        assert world.logged[1:] == [TextDelta(text="kept"), TextDelta(text=" after")]
        assert context.log.unstored() == ()
        return await answer(context)

    world = World(act)
    await world.events()
    assert world.outcome.status is RunStatus.COMPLETED


async def test_what_a_graph_keeps_to_the_end_is_stored_with_the_end() -> None:
    """One statement for both."""
    last = a_checkpoint()

    async def act(context: RunContext) -> GraphResult:
        assert context.to_the_end is not None
        context.to_the_end(last)
        return await answer(context)

    world = World(act)
    await world.events()
    assert world.runs.kept == [last]


async def test_progress_is_what_was_said_and_spent_up_to_an_event() -> None:
    """Text that follows has another id, so that it is void where the checkpoint is taken up."""
    seen: list[Progress] = []

    async def act(context: RunContext) -> GraphResult:
        try:
            await context.model.generate(CALL)
        finally:
            seen.append(context.progress())
        raise AssertionError

    world = World(act)
    async with world.batches() as batches:
        await read_until_text(batches)
        world.engine.stop(world.run.id, "enough")
        await rest(batches)
    [progress] = seen
    assert (str(progress.event_id), progress.said, progress.usage) == ("1-1", "one two three ", world.outcome.usage)


async def test_what_cannot_be_stored_fails_its_run_and_no_other() -> None:
    """One run's events are refused for what they are: it fails, and the other's log goes on."""
    poison = replace(TOOL, call_id="poison")

    async def act(context: RunContext) -> GraphResult:
        context.events.emit(poison if context.run.id == world.run.id else TOOL)
        await asyncio.Event().wait()
        raise AssertionError

    world = World(act, run=a_run(on_disconnect=OnDisconnect.CONTINUE))
    other = a_run(on_disconnect=OnDisconnect.CONTINUE)
    world.runs.runs[other.id] = other
    world.runs.poison = b"poison"
    watch = world.engine.adopt(world.runs.take_over(world.run.id))
    world.engine.adopt(world.runs.take_over(other.id))
    await some_turns()
    world.time.advance(0.15)
    await watch
    assert world.outcome.failure is not None
    assert world.outcome.failure.code == "internal_error"
    assert world.engine.active == 1
    assert [type(event) for event in world.logged] == [RunStarted]  # and then nothing, rather than with a gap
    assert [event for _, event in world.runs.log(other.id)][-1] == TOOL
