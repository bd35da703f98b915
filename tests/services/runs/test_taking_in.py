"""The other ways to a run: queued behind another, asked for twice, in the background."""

import asyncio
from dataclasses import replace

import pytest

from services.errors import ContentBlocked, IdempotencyMismatch, Overloaded, StoreUnavailable
from services.events import RunCancelled, TextDelta
from services.guard import Action, Verdict
from services.runs.live_run import DEADLINE_MARGIN_S, JoinedRun
from services.types import IdempotencyKey, Multitask, OnDisconnect, RunRequest, RunStatus, Submission, Usage
from tests.services.runs.ingress_world import (
    ANN,
    ASK,
    COMPLETED,
    HALF,
    STARTED,
    Hangs,
    World,
    batch,
    begin,
    failure_of,
    following,
    read,
    turns,
)

KEYED = replace(ASK, submission=Submission(idempotency=IdempotencyKey(key="k", digest=b"hello")))
OTHER = replace(ASK, submission=Submission(idempotency=IdempotencyKey(key="k", digest=b"something else")))
BACKGROUND = replace(ASK, background=True, priority=5, on_disconnect=OnDisconnect.CONTINUE)


async def busy() -> tuple[World, RunRequest]:
    """A world with a run that goes on, and a request to wait for its thread."""
    world = World(STARTED, silent=True)
    first = await world.opened(replace(ASK, on_disconnect=OnDisconnect.CONTINUE))
    return world, replace(ASK, thread_id=first.run.thread_id, submission=Submission(multitask=Multitask.ENQUEUE))


# --- queued -----------------------------------------------------------------------------------------------------------


async def test_a_run_that_waits_for_its_thread_is_returned_at_once() -> None:
    """No agent is sent a ticket: whoever takes it when its turn has come says what it says to the log."""
    world, waits = await busy()
    live = await world.start(waits)
    assert world.row(live.run).run.status is RunStatus.QUEUED
    reading = begin(read(live))
    await world.log.asked.wait()
    await turns()
    assert not reading.done()
    world.say(live.run, *STARTED.events, TextDelta(text="late"), COMPLETED)
    assert await reading == [batch(0, *STARTED.events, TextDelta(text="late"), COMPLETED)]
    await live.aclose()
    await world.service.settled()
    assert len(world.agent.tickets) == 1
    assert world.store.told == []


async def test_a_hang_up_takes_a_run_out_of_the_queue() -> None:
    """Also before anything of it was read."""
    world, waits = await busy()
    live = await world.start(waits)
    await live.aclose()
    await world.service.settled()
    assert world.row(live.run).run.status is RunStatus.CANCELLED
    assert world.row(live.run).run.cancel_reason == "client_disconnected"
    assert world.runs[0].status is RunStatus.PENDING


async def test_a_run_that_is_to_continue_stays_in_the_queue() -> None:
    """Its client left, and it will run all the same."""
    world, waits = await busy()
    live = await world.start(replace(waits, on_disconnect=OnDisconnect.CONTINUE))
    await live.aclose()
    await world.service.settled()
    assert world.row(live.run).run.status is RunStatus.QUEUED


async def test_a_store_that_is_away_is_waited_for_while_a_run_is_queued() -> None:
    """It took the run a moment ago, and the client has its status line: it keeps its stream."""
    world, waits = await busy()
    live = await world.start(waits)
    world.faults.failures["read"] = [StoreUnavailable("away")] * 2
    world.say(live.run, *STARTED.events, COMPLETED)
    assert await read(live) == [batch(0, *STARTED.events, COMPLETED)]
    await live.aclose()


async def test_a_run_that_waits_for_its_thread_has_a_time_limit_too() -> None:
    """Its time counts from when it was sent: waiting is part of it."""
    world, waits = await busy()
    live = await world.start(replace(waits, timeout_s=5.0))
    reading = following(live)
    await world.log.asked.wait()
    world.time.advance(5.0 + DEADLINE_MARGIN_S)
    failed = await failure_of(reading)
    assert (failed.failure.code, failed.partial) == ("deadline_exceeded", False)
    assert world.row(live.run).run.status is RunStatus.FAILED
    await live.aclose()


async def test_a_turn_that_stops_the_one_before_it_ends_that_one_s_stream() -> None:
    """The reader of the run that was stopped is told by whoever ends it, here by the record."""
    world = World(STARTED, HALF)
    live = await world.start()
    world.say(live.run, *STARTED.events, *HALF.events)
    stops = Submission(multitask=Multitask.INTERRUPT)
    second = await world.start(replace(ASK, thread_id=live.run.thread_id, submission=stops))
    assert world.row(second.run).run.status is RunStatus.QUEUED
    world.say(live.run, RunCancelled(reason="next_turn", usage=Usage(), duration_s=1.0))
    *_, last = await read(live)
    assert isinstance(last.events[-1], RunCancelled)
    await second.aclose()


# --- asked for twice --------------------------------------------------------------------------------------------------


async def test_a_request_that_comes_again_is_given_the_run_of_the_first() -> None:
    """It reads all of it, from the log, and no second run is begun; its leaving does not touch the first one's run."""
    world = World(STARTED, silent=True)
    first = await world.opened(KEYED)
    again = await world.start(KEYED)
    assert isinstance(again, JoinedRun)
    assert again.run.id == first.run.id
    assert (len(world.runs), len(world.agent.tickets)) == (1, 1)
    world.say(first.run, *STARTED.events, *HALF.events)
    assert await anext(aiter(again)) == batch(0, *STARTED.events, *HALF.events)
    await again.aclose()
    await world.service.settled()
    assert (world.store.told, world.ends) == ([], [])
    await first.aclose()
    assert world.time.pending == 0


async def test_a_key_for_another_request_is_refused() -> None:
    """Same key, other digest: nothing is stored, and the first run is left alone."""
    world = World(STARTED, silent=True)
    first = await world.opened(KEYED)
    with pytest.raises(IdempotencyMismatch):
        await world.start(OTHER)
    assert len(world.runs) == 1
    await first.aclose()
    await world.service.settled()
    assert world.time.pending == 0


async def test_a_request_that_comes_again_is_answered_as_the_first_was() -> None:
    """A run that failed before it showed anything was a status, and is one again; another key is another try."""
    world = World(Overloaded("busy"))
    for _ in range(2):
        with pytest.raises(Overloaded):
            await world.start(KEYED)
    assert len(world.runs) == 1
    world.agent.script = (STARTED,)
    other = replace(KEYED, submission=Submission(idempotency=IdempotencyKey(key="k2", digest=b"hello")))
    live = await world.start(other)
    assert len(world.runs) == 2
    await live.aclose()


async def test_a_client_that_leaves_while_its_request_is_found_to_be_a_repeat_cancels_nothing() -> None:
    """The run is the first one's."""
    world = World(STARTED, silent=True)
    first = await world.opened(KEYED)
    hangs = world.faults.hangs["create"] = Hangs()
    again = begin(world.start(KEYED))
    await hangs.reached.wait()
    again.cancel()
    with pytest.raises(asyncio.CancelledError):
        await again
    del world.faults.hangs["create"]
    await world.service.settled()
    assert world.ends == []
    await first.aclose()
    await world.service.settled()
    assert world.time.pending == 0


# --- in the background ------------------------------------------------------------------------------------------------


async def test_a_background_run_is_queued_and_nobody_is_asked_to_run_it() -> None:
    """It is returned as it is stored, and no time passes for it here."""
    world = World(STARTED)
    run = await world.service.submit(ANN, BACKGROUND)
    assert (run.status, run.background, run.priority, run.timeout_s) == (RunStatus.QUEUED, True, 5, 60.0)
    assert await world.store.get(ANN, run.id) == run
    assert (world.agent.tickets, world.time.armed) == ([], 0)


async def test_a_background_run_that_is_asked_for_again_is_returned_as_it_stands() -> None:
    """It may have ended long ago."""
    world = World()
    request = replace(BACKGROUND, submission=KEYED.submission)
    run = await world.service.submit(ANN, request)
    world.say(run, *STARTED.events, COMPLETED)
    again = await world.service.submit(ANN, request)
    assert (again.id, again.status) == (run.id, RunStatus.COMPLETED)


async def test_a_blocked_background_run_is_refused() -> None:
    """What the guard does not let through is not queued."""
    world = World()
    world.guard.verdict = Verdict(action=Action.BLOCK, rule="injection")
    with pytest.raises(ContentBlocked):
        await world.service.submit(ANN, BACKGROUND)
    assert world.ends == [(RunStatus.FAILED, "content_blocked")]
