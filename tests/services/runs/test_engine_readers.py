"""The readers of a run, and what becomes of it when they leave."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from uuid import uuid4

import pytest

from services.events import RunCancelled, TextDelta
from services.runs.types import GraphResult, RunContext
from services.types import OnDisconnect, RunStatus, RunTicket
from tests.services.runs.engine_world import TOOL, World, answer, ask_model, read_until_text, say
from tests.services.runs.fakes import a_run
from tests.services.runs.turns import some_turns, until


async def test_losing_the_reader_is_a_detach_until_the_grace_ends() -> None:
    """Without a word from anybody the run goes on, is counted as detached, and ends as orphaned."""
    world = World(ask_model, orphan_grace_s=5.0)
    async with world.batches() as batches:
        await read_until_text(batches)
    assert world.engine.detached == 1
    world.time.advance(4.9)
    await some_turns()
    assert not world.closed.is_set()
    world.time.advance(0.1)
    await world.observer.told.wait()
    assert world.outcome.status is RunStatus.CANCELLED
    assert world.engine.detached == 0
    last = world.logged[-1]
    assert isinstance(last, RunCancelled)
    assert last.reason == "orphaned"


async def test_a_run_whose_log_is_read_is_no_orphan() -> None:
    """Its client may have come to another ingress; when that leaves too, the run ends after the next look."""
    world = World(ask_model, orphan_grace_s=5.0)
    world.runs.watching.add(world.run.id)
    async with world.batches() as batches:
        await read_until_text(batches)
    for _ in range(3):
        world.time.advance(5.0)
        await some_turns()
        assert not world.closed.is_set()
    world.runs.watching.clear()
    world.time.advance(5.0)
    await world.observer.told.wait()
    assert world.outcome.status is RunStatus.CANCELLED


async def test_without_any_grace_a_reader_of_the_log_still_counts() -> None:
    """Readers say that they are there every second or two, so that is what is asked about, and how often."""
    world = World(ask_model, orphan_grace_s=0.0)
    world.runs.watching.add(world.run.id)
    async with world.batches() as batches:
        await read_until_text(batches)
    for seconds, looks in ((0.0, 1), (4.9, 1), (0.1, 2)):
        world.time.advance(seconds)
        await some_turns()
        assert world.runs.looks == [5.0] * looks
    assert not world.closed.is_set()
    world.runs.watching.clear()
    world.time.advance(5.0)
    await world.observer.told.wait()


async def test_a_store_that_is_away_makes_no_orphans() -> None:
    """While nobody can say whether a run has a reader it goes on."""
    world = World(ask_model, orphan_grace_s=5.0)
    async with world.batches() as batches:
        await read_until_text(batches)
    world.runs.away = True
    world.time.advance(5.0)
    await some_turns()
    assert not world.closed.is_set()
    world.runs.away = False
    world.time.advance(5.0)
    await world.observer.told.wait()


@pytest.mark.parametrize("changes", [{"on_disconnect": OnDisconnect.CONTINUE}, {"background": True}])
async def test_a_run_that_is_to_continue_outlives_its_reader(changes: dict[str, object]) -> None:
    """It is left alone, its answer is stored, and all of it is in the log."""
    go_on = asyncio.Event()

    async def slow(context: RunContext) -> GraphResult:
        say(context, "beginning ")
        await go_on.wait()
        context.events.emit(TOOL)
        return await answer(context)

    world = World(slow, run=a_run(**changes), orphan_grace_s=5.0)
    async with world.batches() as batches:
        await read_until_text(batches)
    world.time.advance(60.0)
    await some_turns()
    go_on.set()
    await world.observer.told.wait()
    assert world.outcome.status is RunStatus.COMPLETED
    assert world.logged[1:4] == [TextDelta(text="beginning "), TOOL, TextDelta(text="hi")]


async def test_a_reader_who_leaves_while_the_run_is_being_taken_leaves_a_run() -> None:
    """The store may have given it to this replica already: it begins without its reader, and is looked after."""
    world = World(ask_model, orphan_grace_s=5.0)
    world.runs.claiming = asyncio.Event()

    async def read() -> None:
        await world.events()

    reading = asyncio.create_task(read())
    await until(lambda: world.runs.attempts)
    assert list(world.engine.held) == [world.run.id]
    reading.cancel()
    await asyncio.wait([reading])
    world.runs.claiming.set()
    await world.speaking.wait()
    assert (world.engine.active, world.engine.detached) == (1, 1)
    world.time.advance(5.0)
    await world.observer.told.wait()
    assert isinstance(world.logged[-1], RunCancelled)


async def test_the_window_widens_with_the_streams() -> None:
    """One replica spends `flushes_per_s` on batches, whatever the number of streams, up to the widest window."""
    world = World(ask_model, flushes_per_s=20.0, max_flush_window_s=0.05)
    assert world.engine.window_s() == 0.0
    async with world.batches() as batches:
        await read_until_text(batches)
        assert world.engine.window_s() == pytest.approx(0.05)
    assert world.engine.window_s() == 0.0


@pytest.mark.parametrize(("away", "shared"), [(False, 1), (True, 0)])
async def test_runs_of_one_reader_share_frames(away: bool, shared: int) -> None:
    """As long as what they say may be shown at once: a store that does not answer is waited for by each of them."""
    go = asyncio.Event()

    async def speak(context: RunContext) -> GraphResult:
        say(context, "one")
        await go.wait()
        say(context, "two")
        await asyncio.Event().wait()
        raise AssertionError

    world, other = World(speak, max_flush_window_s=0.1, flushes_per_s=1.0), a_run()
    world.runs.runs[other.id] = other
    tickets = [RunTicket(run_id=run.id, remaining_s=60.0, reader=uuid4()) for run in (world.run, other)]
    tickets[1] = replace(tickets[1], reader=tickets[0].reader)
    async with aclosing(world.engine.execute(tickets[0])) as mine, aclosing(world.engine.execute(tickets[1])) as theirs:
        for frames in (mine, theirs):
            assert len((await anext(frames)).batches) == 1
        if away:
            world.runs.hold = asyncio.Event()
        go.set()
        await some_turns()
        world.time.advance(0.3 if away else 0.1)
        frame = asyncio.ensure_future(anext(mine))
        await some_turns()
        world.time.advance(1.0)
        [(run_id, _), *along] = (await frame).batches
        assert run_id == world.run.id
        assert [(run_id, batch.events) for run_id, batch in along] == [(other.id, (TextDelta(text="two"),))] * shared


async def test_text_does_not_go_along_before_what_it_follows() -> None:
    """A tool's result waits to be stored; what the run says meanwhile waits behind it, whoever sends a frame."""
    go = asyncio.Event()

    async def speak(context: RunContext) -> GraphResult:
        say(context, "one")
        await go.wait()
        context.events.emit(TOOL)
        await some_turns()
        say(context, "two")
        await asyncio.Event().wait()
        raise AssertionError

    async def carry(context: RunContext) -> GraphResult:
        say(context, "one")
        await go.wait()
        await some_turns(50)
        say(context, "two")
        await asyncio.Event().wait()
        raise AssertionError

    reader, tool_user, other = uuid4(), a_run(), a_run(graph="carry")
    world = World(speak, run=tool_user, max_flush_window_s=0.1, flushes_per_s=1.0)
    world.add(other, carry)
    mine, theirs = (
        world.engine.execute(RunTicket(run_id=run.id, remaining_s=60.0, reader=reader)) for run in (tool_user, other)
    )
    async with aclosing(mine), aclosing(theirs):
        for frames in (mine, theirs):
            await anext(frames)
        world.time.advance(0.1)
        world.runs.hold = asyncio.Event()
        waiting = asyncio.ensure_future(anext(mine))
        go.set()
        await some_turns(100)
        world.time.advance(0.1)
        assert [run_id for run_id, _ in (await anext(theirs)).batches] == [other.id]
        world.runs.hold.set()
        [(run_id, batch), *_] = (await waiting).batches
        assert (run_id, batch.events) == (tool_user.id, (TOOL,))
