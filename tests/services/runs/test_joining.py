"""A run for who did not begin it, or comes back: joined from behind any event, waited for, cancelled."""

from dataclasses import replace
from uuid import uuid4

import pytest

from services.errors import NotFound, StoreUnavailable
from services.events import RunCancelled
from services.types import CancelAction, EventId, OnDisconnect, RunStatus
from tests.services.runs.ingress_world import (
    ANN,
    ASK,
    BOB,
    COMPLETED,
    HALF,
    STARTED,
    World,
    begin,
    read,
    turns,
)

BACKGROUND = replace(ASK, background=True, on_disconnect=OnDisconnect.CONTINUE)


@pytest.mark.parametrize("seen", [None, 0, 1])
async def test_a_run_is_joined_from_behind_any_event(seen: int | None) -> None:
    """While it goes on: what it has said since then, and what it goes on to say."""
    world = World()
    run = await world.service.submit(ANN, BACKGROUND)
    world.say(run, *STARTED.events, *HALF.events)
    joined = await world.service.join(ANN, run.id, None if seen is None else EventId(attempt=1, seq=seen))
    assert not joined.over
    world.say(run, COMPLETED)
    events = [event for received in await read(joined) for event in received.events]
    assert events == [*STARTED.events, *HALF.events, COMPLETED][0 if seen is None else seen + 1 :]


async def test_joining_a_run_that_has_said_nothing_does_not_wait() -> None:
    """Its client gets a status line, and heartbeats."""
    world = World()
    run = await world.service.submit(ANN, BACKGROUND)
    joined = await world.service.join(ANN, run.id)
    assert not world.log.asked.is_set()
    await joined.aclose()


@pytest.mark.parametrize(("seen", "over"), [(None, False), (1, False), (2, True), (9, True)])
async def test_a_run_that_has_ended_is_over_for_who_has_seen_its_end(seen: int | None, over: bool) -> None:
    """Known before anything is answered."""
    world = World()
    run = await world.service.submit(ANN, BACKGROUND)
    world.say(run, *STARTED.events, *HALF.events, COMPLETED)
    joined = await world.service.join(ANN, run.id, None if seen is None else EventId(attempt=1, seq=seen))
    assert joined.over is over
    await joined.aclose()


async def test_a_reader_who_saw_more_than_was_stored_is_given_the_end() -> None:
    """The run ends while it is joined and its log has no terminal event: what it has seen was not that."""
    world = World()
    run = await world.service.submit(ANN, BACKGROUND)
    world.say(run, *STARTED.events)
    joined = await world.service.join(ANN, run.id, EventId(attempt=1, seq=3))
    world.tables.end(world.row(run), RunStatus.CANCELLED)
    [received] = await read(joined)
    assert (received.first_seq, type(received.events[0])) == (4, RunCancelled)


async def test_a_log_that_is_away_is_a_status_for_a_run_that_has_ended() -> None:
    """Nothing was answered yet, so the client can be told when to come back."""
    world = World()
    run = await world.service.submit(ANN, BACKGROUND)
    world.say(run, *STARTED.events, COMPLETED)
    world.faults.failures["read"] = [StoreUnavailable("away")]
    with pytest.raises(StoreUnavailable):
        await world.service.join(ANN, run.id)


async def test_a_run_is_waited_for_to_its_end() -> None:
    """And returned as it ended."""
    world = World()
    run = await world.service.submit(ANN, BACKGROUND)
    waiting = begin(world.service.wait(ANN, run.id))
    await world.log.asked.wait()
    world.say(run, *STARTED.events, *HALF.events)
    await turns()
    assert not waiting.done()
    world.say(run, COMPLETED)
    assert (await waiting).status is RunStatus.COMPLETED
    assert (await world.service.wait(ANN, run.id)).status is RunStatus.COMPLETED


@pytest.mark.parametrize("action", CancelAction)
async def test_a_run_is_cancelled_by_its_user(action: CancelAction) -> None:
    """Its owner is told how, and that it was asked for; one that nobody has ends at once, and stays as it ended."""
    world = World()
    run = await world.service.submit(ANN, BACKGROUND)
    await world.service.cancel(ANN, run.id, action)
    assert world.store.told == [("cancel", run.id, action, "requested")]
    await world.service.cancel(ANN, run.id, CancelAction.INTERRUPT)
    assert [(run.status, run.cancel_reason) for run in world.runs] == [(RunStatus.CANCELLED, "requested")]


async def test_another_user_s_run_does_not_exist() -> None:
    """It is neither joined, nor waited for, nor cancelled: the same as one that never was."""
    world = World()
    run = await world.service.submit(ANN, BACKGROUND)
    for run_id in (run.id, uuid4()):
        with pytest.raises(NotFound, match=str(run_id)):
            await world.service.join(BOB, run_id)
        with pytest.raises(NotFound, match=str(run_id)):
            await world.service.wait(BOB, run_id)
        with pytest.raises(NotFound, match=str(run_id)):
            await world.service.cancel(BOB, run_id, CancelAction.ROLLBACK)
    assert (world.store.told, world.row(run).run.status) == ([], RunStatus.QUEUED)
    assert not world.log.asked.is_set()
