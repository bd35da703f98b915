"""A run's time at the ingress: no agent, guard or store holds a client longer than that and a margin."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from services.errors import AgentLost, DeadlineExceeded, StoreUnavailable
from services.runs.live_run import DEADLINE_MARGIN_S
from services.runs.service import RECORD_WAIT_S
from services.types import EventBatch, Message, OnDisconnect, RunOutcome, RunStatus, TextDelta, Usage
from tests.services.runs.hanging import (
    ANN,
    ASK,
    DONE,
    HALF,
    MAX_RUN_S,
    OUT_OF_TIME,
    PLAN,
    STARTED,
    Hangs,
    World,
    batch,
    begin,
    failure_of,
)


@pytest.mark.parametrize(
    ("asked_s", "given_s"), [(None, MAX_RUN_S), (5.0, 5.0), (2 * MAX_RUN_S, MAX_RUN_S)], ids=["none", "5", "too much"]
)
async def test_the_ticket_says_what_is_left_when_it_is_sent(asked_s: float | None, given_s: float) -> None:
    """A request's own limit counts, within the operator's; what storing and screening took is gone."""
    world = World(STARTED)
    world.guard.seconds = 3.0
    live = await world.service.start(ANN, replace(ASK, timeout_s=asked_s))
    [ticket] = world.agent.tickets
    assert (ticket.run_id, ticket.remaining_s) == (live.run.id, given_s - 3.0)
    await live.aclose()


async def test_an_agent_that_never_begins_is_waited_for_as_long_as_the_run_may_take() -> None:
    """Then `start` raises, which becomes a 504; the run is on record as failed, and whoever has it is to stop."""
    world = World()
    starting = world.start(replace(ASK, timeout_s=30.0))
    await world.agent.silence.reached.wait()
    world.time.advance(29.9)
    assert world.store.outcomes == {}
    world.time.advance(0.1)
    with pytest.raises(DeadlineExceeded, match="30 s"):
        await starting
    await world.service.settled()
    assert world.agent.closed
    assert world.ends == [OUT_OF_TIME]
    assert world.agent.cancels == ["deadline"]
    assert world.time.pending == 0


@pytest.mark.parametrize("where", ["store", "guard"])
async def test_storing_and_screening_are_bounded_too(where: str) -> None:
    """What hangs before the agent was asked ends the same way, and no agent is bothered."""
    world = World(STARTED)
    hangs = world.store.creating = Hangs()
    if where == "guard":
        world.store.creating, world.guard.hangs = None, hangs
    starting = world.start()
    await hangs.reached.wait()
    world.time.advance(MAX_RUN_S)
    with pytest.raises(DeadlineExceeded):
        await starting
    await world.service.settled()
    assert world.ends == [OUT_OF_TIME]
    assert (world.agent.tickets, world.agent.cancels) == ([], [])


@pytest.mark.parametrize(
    ("said", "partial"),
    [([STARTED], False), ([STARTED, PLAN], False), ([STARTED, HALF], True)],
    ids=["nothing", "a plan", "half an answer"],
)
async def test_an_agent_that_falls_silent_ends_in_one_failure(said: list[EventBatch], partial: bool) -> None:
    """The reader gets RunFailed(deadline_exceeded) after the margin, partial only where it had part of the answer."""
    world = World(*said)
    live = await world.opened()
    reading = begin(anext(live))
    await world.agent.silence.reached.wait()
    world.time.advance(MAX_RUN_S + DEADLINE_MARGIN_S - 0.1)
    assert (world.agent.cancels, world.store.outcomes) == ([], {})
    world.time.advance(0.1)
    failed = await failure_of(reading)
    assert (failed.failure.code, failed.partial) == ("deadline_exceeded", partial)
    assert failed.duration_s == pytest.approx(MAX_RUN_S + DEADLINE_MARGIN_S)
    assert world.ends == [OUT_OF_TIME]
    assert world.kept == ["half"] * partial
    assert [received async for received in live] == []
    await live.aclose()
    await world.service.settled()
    assert world.agent.closed
    assert world.agent.cancels == ["deadline"]
    assert world.time.pending == 0


async def test_the_failure_continues_the_run_s_event_ids() -> None:
    """The event that the ingress makes has the number after the last one that the agent sent."""
    world = World(STARTED, HALF)
    reading = begin(anext(await world.opened()))
    await world.agent.silence.reached.wait()
    world.time.advance(MAX_RUN_S + DEADLINE_MARGIN_S)
    assert (await reading).first_seq == 2


async def test_the_agents_own_end_wins_within_the_margin() -> None:
    """It brings the bill and is stored already, so the ingress adds nothing."""
    world = World(STARTED, HALF)
    live = await world.opened()
    reading = begin(anext(live))
    await world.agent.silence.reached.wait()
    world.time.advance(MAX_RUN_S + 1.0)
    world.agent.silence.go.set()
    assert await reading == DONE
    await live.aclose()
    await world.service.settled()
    assert (world.agent.cancels, world.store.outcomes, world.time.pending) == ([], {}, 0)


async def test_an_agent_that_ignores_its_cancel_holds_nobody() -> None:
    """The reader has its end while the word to stop is still unanswered."""
    world = World(STARTED, deaf=True)
    live = await world.opened()
    reading = begin(anext(live))
    await world.agent.silence.reached.wait()
    world.time.advance(MAX_RUN_S + DEADLINE_MARGIN_S)
    assert (await failure_of(reading)).failure.code == "deadline_exceeded"
    await live.aclose()
    await world.agent.cancelling.reached.wait()
    assert world.ends == [OUT_OF_TIME]
    world.agent.cancelling.go.set()
    await world.service.settled()


async def test_a_run_ends_in_time_though_its_reader_is_busy() -> None:
    """While a client is slow to take a batch nobody reads; the agent is stopped all the same, and the next read is the end."""
    world = World(STARTED, *(batch(number, TextDelta(text="more")) for number in range(1, 9)))
    live = await world.service.start(ANN, ASK)
    await anext(live)
    world.time.advance(MAX_RUN_S + DEADLINE_MARGIN_S)
    await world.service.settled()
    assert (world.ends, world.agent.cancels) == ([OUT_OF_TIME], ["deadline"])
    failed = await failure_of(begin(anext(live)))
    assert (failed.failure.code, failed.partial) == ("deadline_exceeded", False)
    assert not world.agent.closed
    await live.aclose()
    await world.service.settled()
    assert world.agent.closed
    assert world.agent.cancels == ["deadline"]


async def test_a_run_out_of_time_is_on_record_before_its_agent_stops() -> None:
    """An agent that stops when told records a cancellation: it comes second, and what it brings is kept."""
    world = World(STARTED, HALF)
    reading = begin(anext(await world.opened()))

    async def cancel(run_id: UUID, reason: str) -> None:
        said = (Message(role="assistant", content="half"),)
        stopped = RunOutcome(status=RunStatus.CANCELLED, messages=said, usage=Usage(output_tokens=1))
        assert await world.store.finish(world.store.runs[run_id], stopped) is RunStatus.FAILED

    world.agent.cancel = cancel  # type: ignore[method-assign]
    await world.agent.silence.reached.wait()
    world.time.advance(MAX_RUN_S + DEADLINE_MARGIN_S)
    await failure_of(reading)
    await world.service.settled()
    assert world.ends == [OUT_OF_TIME]


async def test_a_store_that_hangs_delays_the_end_by_a_second() -> None:
    """Being on record comes first, but not at any price; the agent is stopped and the record is made later."""
    world = World(STARTED)
    live = await world.opened()
    hangs = world.store.finishing = Hangs()
    reading = begin(anext(live))
    await world.agent.silence.reached.wait()
    world.time.advance(MAX_RUN_S + DEADLINE_MARGIN_S)
    await hangs.reached.wait()
    assert not reading.done()
    world.time.advance(RECORD_WAIT_S)
    assert (await failure_of(reading)).failure.code == "deadline_exceeded"
    hangs.go.set()
    await world.service.settled()
    assert (world.ends, world.agent.cancels) == ([OUT_OF_TIME], ["deadline"])


async def test_a_store_that_is_away_does_not_hide_the_end() -> None:
    """The reader is told, and the record is left to the sweep."""
    world = World(STARTED)
    world.store.failures = [StoreUnavailable("down")]
    reading = begin(anext(await world.opened()))
    await world.agent.silence.reached.wait()
    world.time.advance(MAX_RUN_S + DEADLINE_MARGIN_S)
    assert (await failure_of(reading)).failure.code == "deadline_exceeded"
    await world.service.settled()
    assert (world.ends, world.agent.cancels) == ([], ["deadline"])


async def test_a_lost_stream_whose_agent_cannot_be_reached_holds_nobody_either() -> None:
    """Asking a partitioned agent to stop may take long: not longer than the run's time."""
    world = World(STARTED, HALF, AgentLost("gone"), deaf=True)
    live = await world.service.start(ANN, ASK)
    assert [await anext(live), await anext(live)] == [STARTED, HALF]
    reading = begin(anext(live))
    await world.agent.cancelling.reached.wait()
    world.time.advance(MAX_RUN_S + DEADLINE_MARGIN_S)
    failed = await failure_of(reading)
    assert (failed.failure.code, failed.partial) == ("deadline_exceeded", True)
    assert world.kept == ["half"]
    world.agent.cancelling.go.set()
    await world.service.settled()
    assert world.agent.cancels == ["stream_lost", "deadline"]


async def test_a_run_that_is_to_continue_has_a_time_limit_too() -> None:
    """To go on without its client is not to go on for ever."""
    world = World(STARTED)
    reading = begin(anext(await world.opened(replace(ASK, on_disconnect=OnDisconnect.CONTINUE))))
    await world.agent.silence.reached.wait()
    world.time.advance(MAX_RUN_S + DEADLINE_MARGIN_S)
    await failure_of(reading)
    await world.service.settled()
    assert (world.ends, world.agent.cancels) == ([OUT_OF_TIME], ["deadline"])


async def test_a_client_that_leaves_a_silent_agent_has_hung_up() -> None:
    """As ever: cancelled, not failed, and no timer is left to say otherwise."""
    world = World(STARTED)
    live = await world.opened()
    reading = begin(anext(live))
    await world.agent.silence.reached.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await live.aclose()
    world.time.advance(2 * MAX_RUN_S)
    await world.service.settled()
    assert world.agent.cancels == ["client_disconnected"]
    assert world.ends == [(RunStatus.CANCELLED, None)]
    assert world.time.pending == 0


async def test_a_client_that_leaves_before_the_first_event_has_hung_up() -> None:
    """Its run is cancelled, and no timer is left behind."""
    world = World()
    starting = world.start()
    await world.agent.silence.reached.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await world.service.settled()
    assert (world.ends, world.agent.cancels) == ([(RunStatus.CANCELLED, None)], ["client_disconnected"])
    assert world.time.pending == 0


async def test_a_client_that_leaves_while_its_time_runs_out_sees_itself_cancelled() -> None:
    """Both at once: whoever cancelled the reader is obeyed, and the run is on record as what came first."""
    world = World(STARTED)
    live = await world.opened()
    reading = begin(anext(live))
    await world.agent.silence.reached.wait()
    world.time.advance(MAX_RUN_S + DEADLINE_MARGIN_S)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await live.aclose()
    await world.service.settled()
    assert world.ends == [OUT_OF_TIME]


async def test_a_run_that_is_refused_leaves_no_timer() -> None:
    """Whatever ends a run before its first event ends its time limit as well."""
    world = World(AgentLost("gone"))
    with pytest.raises(AgentLost):
        await world.service.start(ANN, ASK)
    assert (world.time.armed, world.time.pending) == (1, 0)


async def test_a_run_has_one_timer_however_many_batches_it_has() -> None:
    """A batch costs none, and the end of the run takes it away."""
    texts = [batch(number, TextDelta(text="word")) for number in range(1, 100)]
    world = World(STARTED, *texts, batch(100, *DONE.events))
    live = await world.service.start(ANN, ASK)
    assert len([received async for received in live]) == 101
    assert (world.time.armed, world.time.pending) == (1, 0)
