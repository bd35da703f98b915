"""The keeper of a replica's lease: it never stops beating, stops what is to be stopped, and takes what there is room for."""

import asyncio
import logging
from uuid import UUID

import pytest

from services.errors import StoreUnavailable
from services.runs.lease_keeper import CANCEL, QUEUED
from services.types import CancelAction, Cancellation
from tests.services.runs.keeper_world import World, claims
from tests.services.runs.turns import some_turns


@pytest.fixture
async def world() -> World:
    return await World().started()


TAKES = ["take_over", "take_queued", "take_background"]


async def test_a_replica_begins_with_a_beat_that_is_stored(caplog: pytest.LogCaptureFixture) -> None:
    """`start` does not return before: a store that is away is waited for, and nothing is taken from it."""
    world = World()
    world.leases.failure = StoreUnavailable("away")
    starting = asyncio.create_task(world.keeper.start())
    await some_turns()
    assert not starting.done()
    assert set(world.leases.asked) == {"beat"}
    assert set(world.slept) == {0.5}
    assert len(caplog.records) == 1
    world.leases.failure = None
    await starting


async def test_it_beats_every_two_seconds_and_then_takes(world: World) -> None:
    """Lost runs before queued ones, those that somebody waits for before background ones."""
    assert await world.passes(1.9) == []
    assert await world.passes(0.1) == ["beat", *TAKES]
    assert await world.passes(2.0) == ["beat", *TAKES]


async def test_what_is_to_be_stopped_is_stopped(world: World) -> None:
    """With the reason that was given."""
    wish = Cancellation(run_id=UUID(int=1), action=CancelAction.ROLLBACK, reason="requested")
    world.leases.unwanted = [wish]
    assert await world.wakes(CANCEL) == ["beat"]
    assert world.runs.stopped == [(wish.run_id, "requested")]


@pytest.mark.parametrize(
    ("news", "asked"),
    [(CANCEL, ["beat"]), (QUEUED, TAKES), ("", ["beat", *TAKES]), ("something newer", ["beat", *TAKES])],
)
async def test_a_wake_up_is_followed_at_once(world: World, news: str, asked: list[str]) -> None:
    """By what it is about; where it is about nothing in particular, by everything."""
    await world.passes(1.0)
    assert await world.wakes(news) == asked
    due = await world.passes(1.0)
    assert due == [what for what in ["beat", *TAKES] if what not in asked]


async def test_runs_are_taken_however_often_others_are_cancelled(world: World) -> None:
    """Each cancellation moves the next beat, and none moves the next look for lost runs."""
    asked = []
    for _ in range(10):
        asked += await world.passes(0.5)
        asked += await world.wakes(CANCEL)
    assert asked.count("take_over") == 2


async def test_many_wake_ups_are_one(world: World) -> None:
    """What comes while the store is asked is followed once, a moment later; what comes at one moment is followed together."""
    await world.passes(1.0)
    world.slept.clear()
    hold = world.leases.hold = asyncio.Event()
    await world.wakes(*[CANCEL, QUEUED] * 50)
    for _ in range(50):
        world.keeper.wake(QUEUED)
    world.leases.hold = None
    hold.set()
    await some_turns()
    assert world.leases.asked == ["beat", *TAKES, *TAKES]
    assert world.slept == [pytest.approx(0.02)]


async def test_it_takes_as_much_as_there_is_room_for(world: World) -> None:
    """Runs that came by themselves count, background runs have slots of their own, and lost ones come first."""
    world.runs.busy = 5
    world.leases.lost, world.leases.queued, world.leases.background = claims(2), claims(9), claims(9)
    first = [*world.leases.lost, *world.leases.queued[:3]]
    await world.passes(2.0)
    assert list(world.runs.adopted) == [claim.run.id for claim in first]
    assert world.runs.active == 10
    assert await world.passes(2.0) == ["beat"]


async def test_background_runs_leave_room(world: World) -> None:
    """However many are queued, and however much room there is, only so many run at a time."""
    world.leases.background = claims(9)
    world.runs.background = 1
    await world.passes(2.0)
    assert len(world.runs.adopted) == 1
    world.runs.background = 2
    assert "take_background" not in await world.passes(2.0)


async def test_when_a_run_has_ended_the_next_is_taken_at_once(world: World) -> None:
    """A queue of short runs does not wait for beats."""
    world.leases.background = claims(5)
    await world.passes(2.0)
    assert len(world.runs.adopted) == 2
    world.leases.asked.clear()
    next(iter(world.runs.adopted.values())).set()
    await some_turns()
    assert world.leases.asked == TAKES
    assert len(world.runs.adopted) == 4


async def test_a_run_whose_claim_got_lost_is_taken_back(world: World) -> None:
    """Every ten seconds the store is asked for runs that it has given to this replica, and that this does not know of."""
    world.leases.lost = claims(1)
    await world.passes(2.0)
    world.leases.unknown = claims(3)
    [known], unknown = world.runs.held, [claim.run.id for claim in world.leases.unknown]
    world.runs.busy = 99
    for _ in range(3):
        assert "take_back" not in await world.passes(2.0)
    assert await world.passes(2.0) == ["beat", "take_back"]
    assert world.leases.held == [known]
    assert list(world.runs.adopted) == [known, *unknown]
    assert "take_back" not in await world.passes(2.0)


async def test_an_outage_ends_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, the beat is tried twice a second, nothing is taken, and runs go on; then all is as before."""
    world.leases.lost = claims(1)
    world.leases.failure = StoreUnavailable("away")
    assert await world.passes(2.0) == ["beat"]
    assert await world.passes(0.4) == []
    for _ in range(4):
        assert await world.passes(0.5) == ["beat"]
    assert len(caplog.records) == 1
    assert (world.runs.stopped, world.runs.adopted) == ([], {})
    world.leases.failure = None
    assert await world.passes(0.5) == ["beat", *TAKES]
    assert len(world.runs.adopted) == 1


async def test_after_its_own_lease_ran_out_it_gives_others_time(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """They may have been as cut off as this replica was, and be alive: what is queued may be taken, what looks lost not yet."""
    world.leases.lost, world.leases.queued = claims(1), claims(1)
    world.leases.failure = StoreUnavailable("away")
    for _ in range(10):
        await world.passes(1.0)
    world.leases.failure = None
    assert "take_over" not in await world.passes(1.0)
    assert len(world.runs.adopted) == 1
    assert "the lease had run out" in caplog.text
    for _ in range(3):
        assert "take_over" not in await world.passes(2.0)
    assert "take_over" in await world.passes(2.0)
    assert len(world.runs.adopted) == 2


@pytest.mark.parametrize("broken", ["beat", *TAKES])
async def test_no_bug_ends_the_beat(world: World, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """What one statement breaks on is logged, and the others are still made."""
    world.leases.broken = {broken: ZeroDivisionError("a bug")}
    asked = await world.passes(2.0)
    assert asked == (["beat"] if broken == "beat" else ["beat", *TAKES])
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    world.leases.broken = {}
    assert await world.passes(2.0) == ["beat", *TAKES]


async def test_it_goes_on_beating_while_runs_end_and_then_gives_the_lease_up(world: World) -> None:
    """A replica that stops takes nothing, is alive until its runs have ended or are given up, and is gone at once then."""
    world.runs.draining.clear()
    world.leases.queued = claims(1)
    stopping = asyncio.create_task(world.keeper.shut_down(30.0))
    await some_turns()
    assert world.runs.drained == [30.0]
    for _ in range(4):
        assert await world.passes(2.0) == ["beat"]
    assert await world.wakes(QUEUED) == []
    assert not world.leases.released
    world.runs.draining.set()
    await stopping
    assert world.leases.released
    assert await world.passes(60.0) == []
    assert world.runs.adopted == {}


async def test_what_is_being_taken_is_drained_too(world: World) -> None:
    """A claim that is on its way when the replica is asked to stop is begun, and then ended or given up like the others."""
    world.leases.queued = claims(1)
    await world.passes(1.0)
    hold = world.leases.hold = asyncio.Event()
    assert await world.wakes(QUEUED) == ["take_over"]
    world.leases.lost = claims(1)
    stopping = asyncio.create_task(world.keeper.shut_down(30.0))
    await some_turns()
    assert world.runs.drained == []
    hold.set()
    await stopping
    assert len(world.runs.adopted) == 1
    assert world.leases.queued != []
    assert world.leases.asked == ["take_over", "release"]


async def test_a_lease_that_cannot_be_released_runs_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The replica stops all the same."""
    world.leases.failure = StoreUnavailable("away")
    await world.keeper.shut_down(1.0)
    assert "could not be released" in caplog.text
