"""The event log while the store does not answer, or refuses what it is given: nothing is lost, doubled or kept back."""

import asyncio
from typing import Any

import pytest

from services.errors import RunSuperseded, StoreUnavailable
from tests.services.runs.engine_world import TOOL
from tests.services.runs.log_world import World, started, text


async def test_a_store_that_does_not_answer_is_waited_for_once() -> None:
    """After a second the event is shown, and from then on nobody waits, until the store is seen to answer again."""
    world = World()
    run, other = world.run(), world.run()
    hold = world.store.hold = asyncio.Event()
    run.buffer.emit(TOOL)
    showing = await started(run.shows())
    await world.passes(0.99)
    assert not showing.done()
    await world.passes(0.01)
    assert showing.done()
    for said in (run, other):
        said.buffer.emit(TOOL)
        await said.shows()
    hold.set()
    await world.passes(0.15)
    await world.passes(0.15)
    assert (run.logged, other.logged) == ([TOOL, TOOL], [TOOL])
    world.store.hold = asyncio.Event()
    run.buffer.emit(TOOL)
    showing = await started(run.shows())
    assert not showing.done()
    world.store.hold.set()
    await showing


async def test_a_store_is_given_another_chance_once_nobody_waits_for_it() -> None:
    """The run that it did not answer has ended: the next one's events are stored before they are shown, if they can be."""
    world = World()
    run, next_run = world.run(), world.run()
    world.store.away = True
    run.buffer.emit(TOOL)
    await run.shows()
    world.writer.tail(run.log)
    world.store.away = False
    next_run.buffer.emit(TOOL)
    await next_run.shows()
    assert next_run.logged == [TOOL]


async def test_an_outage_loses_and_doubles_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Runs go on, are shown, and are stored when the store is back; it is asked every half second, and said once."""
    world = World()
    run, other = world.run(), world.run()
    world.store.away = True
    run.buffer.emit(TOOL)
    await run.shows()
    for _ in range(10):
        run.buffer.text("x")
        other.buffer.emit(TOOL)
        await run.shows()
        await other.shows()
        await world.passes(0.5)
    assert len(world.store.sent) == 11
    assert {len(rows) for rows in world.store.sent} == {1}
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    world.store.away = False
    await world.passes(0.5)
    await world.passes(0.0)
    assert run.logged == [TOOL, *[text("x")] * 10]
    assert other.logged == [TOOL] * 10
    assert len(world.store.sent) == 13


async def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_rows() -> None:
    """The rows may have been stored: what has been said meanwhile is another row, so nothing is stored twice."""
    world = World()
    run = world.run()
    append = world.store.append

    async def stores_and_breaks(rows: Any) -> Any:
        await append(rows)
        raise StoreUnavailable("the connection broke")

    run.buffer.text("a")
    world.store.append = stores_and_breaks  # type: ignore[method-assign]
    await world.passes(0.15)
    run.buffer.text("b")
    world.store.append = append  # type: ignore[method-assign]
    await world.passes(0.5)
    await world.passes(0.15)
    assert run.logged == [text("a"), text("b")]


async def test_a_run_that_was_taken_over_is_told_and_dropped() -> None:
    """Its owner hears of it once, nothing more of it is sent or shown, and other runs in the statement are stored."""
    world = World()
    run, other = world.run(), world.run()
    run.buffer.text("a")
    other.buffer.text("b")
    await run.shows()
    world.store.take_over(run.fence.run_id)
    await world.passes(0.15)
    [(fence, error)] = world.refused
    assert fence == run.fence
    assert isinstance(error, RunSuperseded)
    run.buffer.text("c")
    with pytest.raises(RunSuperseded):
        await run.shows()
    await world.passes(1.0)
    assert len(world.store.sent) == 1
    assert (run.logged, other.logged) == ([], [text("b")])


async def test_rows_that_cannot_be_stored_are_found_among_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in what one run said costs that run its log, not the others, nor later statements."""
    world = World()
    runs = [world.run() for _ in range(3)]
    world.store.poison = b"poison"
    for run, words in zip(runs, ("a", "poison", "c"), strict=True):
        run.buffer.text(words)
    await world.passes(0.15)
    assert [run.logged for run in runs] == [[text("a")], [], [text("c")]]
    [(fence, error)] = world.refused
    assert (fence, error.code) == (runs[1].fence, "internal_error")
    assert "cannot be stored as it is" in caplog.text
    runs[0].buffer.text("more")
    await world.passes(0.15)
    assert runs[0].logged == [text("a"), text("more")]
