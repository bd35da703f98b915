"""The event log as a replica writes it: together, in time, each event once, and before it is shown what has to be."""

import asyncio

import pytest

from services.errors import RunSuperseded
from services.events import RunStarted
from tests.services.runs.engine_world import TOOL
from tests.services.runs.log_world import World, started, text


async def test_text_is_shown_at_once_and_stored_soon() -> None:
    """Nobody waits for the store; after 150 ms everything that all runs have said goes there in one statement."""
    world = World()
    one, two = world.run(), world.run()
    one.buffer.emit(RunStarted(run_id=one.fence.run_id, thread_id=one.fence.run_id, graph="react"))
    one.buffer.text("a")
    await one.shows()
    two.buffer.text("b")
    await two.shows()
    one.buffer.text("c")
    await one.shows()
    await world.passes(0.149)
    assert world.statements == []
    await world.passes(0.001)
    assert world.statements == [2]
    assert one.logged[1:] == [text("a"), text("c")]
    assert two.logged == [text("b")]
    await world.passes(10.0)
    assert world.statements == [2]
    assert world.time.pending == 0


async def test_the_lag_is_the_age_of_the_oldest_event_that_is_not_stored() -> None:
    """Also while it is on its way, and while the store is away; nothing said, or all stored, is no lag."""
    world = World()
    one, two = world.run(), world.run()
    assert world.writer.lag_s == 0.0
    one.buffer.text("a")
    await world.passes(0.1)
    two.buffer.text("b")
    assert world.writer.lag_s == pytest.approx(0.1)
    world.store.hold = asyncio.Event()
    await world.passes(0.05)
    await world.passes(3.0)
    assert world.writer.lag_s == pytest.approx(3.15)
    world.store.hold.set()
    await world.passes(0.0)
    assert world.writer.lag_s == 0.0


async def test_it_does_not_matter_whether_anybody_reads() -> None:
    """What nobody takes is stored all the same, and a reader who comes to it late is shown the same events."""
    world = World()
    run = world.run()
    run.buffer.text("unread")
    await world.passes(0.15)
    run.buffer.text("still unread")
    await world.passes(0.15)
    assert run.logged == [text("unread"), text("still unread")]
    assert (await run.shows()).events == tuple(run.logged)


async def test_what_a_run_does_is_stored_before_it_is_shown() -> None:
    """A tool event is sent to the store at once, with the text before it, and with nothing of runs that can wait."""
    world = World()
    run, other = world.run(), world.run()
    other.buffer.text("can wait")
    run.buffer.text("before")
    run.buffer.emit(TOOL)
    world.store.hold = asyncio.Event()
    showing = await started(run.shows())
    assert world.statements == [1]
    assert not showing.done()
    world.store.hold.set()
    assert (await showing).events == (text("before"), TOOL)
    assert run.logged == [text("before"), TOOL]
    assert other.logged == []
    await world.passes(0.15)
    assert other.logged == [text("can wait")]


async def test_what_comes_while_the_store_is_busy_goes_together() -> None:
    """One statement at a time: whoever comes meanwhile shares the next one, which begins at once."""
    world = World()
    runs = [world.run() for _ in range(4)]
    world.store.hold = asyncio.Event()
    showing = []
    for run in runs:
        run.buffer.emit(TOOL)
        showing.append(await started(run.shows()))
    assert world.statements == [1]
    world.store.hold.set()
    await asyncio.gather(*showing)
    assert world.statements == [1, 3]


async def test_text_is_not_kept_back_by_others_that_are_always_in_a_hurry() -> None:
    """Tool events that follow upon each other have the store to themselves until the text of another run is due."""
    world = World()
    busy, quiet = world.run(), world.run()
    quiet.buffer.text("text")
    for _ in range(4):
        world.store.hold = asyncio.Event()
        showing = []
        for _ in range(2):  # the second one comes while the first is being stored
            busy.buffer.emit(TOOL)
            showing.append(await started(busy.shows()))
        await world.passes(0.05)
        world.store.hold.set()
        world.store.hold = None
        await asyncio.gather(*showing)
    assert quiet.logged == [text("text")]
    assert len(busy.logged) == 8


async def test_text_is_not_shown_far_ahead_of_a_slow_store() -> None:
    """When what was shown is not stored after 250 ms the next text waits for that, and then is shown before it is stored."""
    world = World()
    run = world.run()
    run.buffer.text("a")
    await run.shows()
    world.store.hold = asyncio.Event()
    await world.passes(0.15)
    run.buffer.text("b")
    await run.shows()
    await world.passes(0.1)
    run.buffer.text("c")
    showing = await started(run.shows())
    assert not showing.done()
    world.store.hold.set()
    world.store.hold = None
    assert (await showing).events == (text("c"),)
    assert run.logged[0] == text("a")


async def test_a_checkpoint_takes_the_log_along() -> None:
    """What another statement stores is not stored again by the log; what it could not store, is."""
    world = World()
    run = world.run()
    run.buffer.text("a")
    first = run.log.unstored()
    assert [(row.first_seq, row.seq) for row in first] == [(0, 0)]
    run.buffer.text("b")
    both = run.log.unstored()
    assert [(row.first_seq, row.seq) for row in both] == [(0, 0), (1, 1)]
    run.log.confirm(first)
    assert run.log.unstored() == both[1:]
    await world.passes(0.15)
    assert world.store.sent == [[*both[1:]]]
    assert run.log.unstored() == ()
    run.log.confirm(())
    run.buffer.text("c")
    run.log.confirm(run.log.unstored())
    await world.passes(0.15)
    assert len(world.store.sent) == 1


async def test_an_attempt_that_was_taken_over_has_no_log_to_take_along() -> None:
    world = World()
    run = world.run()
    run.buffer.text("a")
    world.writer.leave(run.log, RunSuperseded("taken over"))
    with pytest.raises(RunSuperseded):
        run.log.unstored()


async def test_whoever_records_the_end_stores_the_rest() -> None:
    """Rows that are on their way are recorded again as they are, which is harmless, and a reader waits for that."""
    world = World()
    run = world.run()
    world.store.hold = asyncio.Event()
    run.buffer.emit(TOOL)
    showing = await started(run.shows())
    run.buffer.text("rest")
    run.buffer.close()
    tail = world.writer.tail(run.log)
    assert [(row.first_seq, row.seq) for row in tail.rows] == [(0, 0)]
    assert (tail.first_seq, tail.events) == (1, (text("rest"),))
    await world.passes(5.0)
    assert not showing.done()
    run.log.settle()
    assert (await showing).events == (TOOL,)
    world.store.hold.set()
    await world.passes(5.0)
    assert len(world.store.sent) == 1


async def test_close_stores_what_is_left() -> None:
    """A replica that stops does not wait for the time to come; a store that is away is tried once."""
    world = World()
    run = world.run()
    run.buffer.text("last")
    world.store.away = True
    await world.writer.close()
    assert len(world.store.sent) == 1
    world.store.away = False
    run.buffer.text(" words")
    await world.writer.close()
    assert run.logged == [text("last"), text(" words")]
    assert world.time.pending == 0
