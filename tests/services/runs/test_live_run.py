"""A run's time at the ingress: no agent, guard, store or log holds a client longer than that and a margin."""

import asyncio
from dataclasses import replace

import pytest

from services.errors import DeadlineExceeded, Overloaded, StoreUnavailable
from services.events import EventBatch, Retracted, TextDelta
from services.guard import UNJUDGED
from services.runs.live_run import DEADLINE_MARGIN_S
from services.runs.service import RECORD_WAIT_S
from services.types import CancelAction, OnDisconnect, RunStatus
from tests.services.runs.ingress_world import (
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
    following,
    read,
    turns,
)

TOO_LONG_S = MAX_RUN_S + DEADLINE_MARGIN_S


async def silent(world: World) -> None:
    """Wait until the agent has fallen silent."""
    assert world.agent.silence is not None
    await world.agent.silence.reached.wait()


@pytest.mark.parametrize(
    ("asked_s", "given_s"), [(None, MAX_RUN_S), (5.0, 5.0), (2 * MAX_RUN_S, MAX_RUN_S)], ids=["none", "5", "too much"]
)
async def test_the_ticket_says_what_is_left_when_it_is_sent(asked_s: float | None, given_s: float) -> None:
    """A request's own limit counts, within the operator's; what screening and storing took is gone."""
    world = World(STARTED)
    world.guard.seconds = 3.0
    live = await world.start(replace(ASK, timeout_s=asked_s))
    [ticket] = world.agent.tickets
    assert (ticket.run_id, ticket.remaining_s) == (live.run.id, given_s - 3.0)
    assert live.run.timeout_s == given_s
    await live.aclose()


async def test_an_agent_that_never_begins_is_waited_for_as_long_as_the_run_may_take() -> None:
    """Then `start` raises, which becomes a 504; the run is on record as failed, so what its agent writes is refused."""
    world = World(silent=True)
    starting = begin(world.start(replace(ASK, timeout_s=30.0)))
    await silent(world)
    world.time.advance(29.9)
    assert world.ends == []
    world.time.advance(0.1)
    with pytest.raises(DeadlineExceeded, match="30 s"):
        await starting
    await world.service.settled()
    assert world.agent.closed
    assert world.ends == [OUT_OF_TIME]
    assert (world.store.told, world.time.pending) == ([], 0)


@pytest.mark.parametrize("where", ["create", "check"])
async def test_screening_and_storing_are_bounded_too(where: str) -> None:
    """What hangs before the agent was asked ends the same way, on record all the same, and no agent is bothered."""
    world = World(STARTED)
    hangs = world.faults.hangs[where] = Hangs()
    starting = begin(world.start())
    await hangs.reached.wait()
    del world.faults.hangs[where]
    world.time.advance(MAX_RUN_S)
    with pytest.raises(DeadlineExceeded):
        await starting
    await world.service.settled()
    assert world.ends == [OUT_OF_TIME]
    assert (world.agent.tickets, world.store.told, world.time.pending) == ([], [], 0)


@pytest.mark.parametrize("why", ["blocked", "late"])
async def test_a_refusal_is_not_held_up_by_its_record(why: str) -> None:
    """A store that hangs delays by a second what the guard refused, or had no time for; the record is made later."""
    world = World(STARTED)
    storing = world.faults.hangs["create"] = Hangs()
    if why == "blocked":
        world.guard.verdict = Overloaded("no verdict")
        starting = begin(world.start())
    else:
        screening = world.faults.hangs["check"] = Hangs()
        starting = begin(world.start())
        await screening.reached.wait()
        world.time.advance(MAX_RUN_S)
    await storing.reached.wait()
    assert not starting.done()
    world.time.advance(RECORD_WAIT_S)
    with pytest.raises(Overloaded if why == "blocked" else DeadlineExceeded):
        await starting
    storing.go.set()
    await world.service.settled()
    assert [status for status, _ in world.ends] == [RunStatus.FAILED]


@pytest.mark.parametrize(
    ("said", "partial"),
    [([STARTED], False), ([STARTED, PLAN], False), ([STARTED, HALF], True)],
    ids=["nothing", "a plan", "half an answer"],
)
async def test_an_agent_that_falls_silent_ends_in_one_failure(said: list[EventBatch], partial: bool) -> None:
    """The reader gets RunFailed(deadline_exceeded) after the margin, partial only where it had part of the answer.

    The agent is not told by itself: it has the same deadline, and its record comes second.
    """
    world = World(*said, silent=True)
    live = await world.opened()
    reading = following(live)
    await silent(world)
    world.time.advance(TOO_LONG_S - 0.1)
    assert world.ends == []
    world.time.advance(0.1)
    failed = await failure_of(reading)
    assert (failed.failure.code, failed.partial) == ("deadline_exceeded", partial)
    assert failed.duration_s == pytest.approx(TOO_LONG_S)
    assert world.ends == [OUT_OF_TIME]
    assert world.kept == ["half"] * partial
    assert await read(live) == []
    await live.aclose()
    await world.service.settled()
    assert world.agent.closed
    assert (world.store.told, world.time.pending) == ([], 0)


async def test_what_had_no_verdict_is_not_kept() -> None:
    """Its agent was to judge it, and is silent: the record has the rest, and its reader is told what to take back."""
    ahead = replace(batch(1, TextDelta(text="half a heron")), unjudged_from=4)
    world = World(STARTED, ahead, silent=True)
    live = await world.opened()
    reading = following(live)
    await silent(world)
    world.time.advance(TOO_LONG_S)
    last = await reading
    assert last.events[0] == Retracted(from_char=4, to_char=12, rule=UNJUDGED)
    assert (len(last.events), last.first_seq, last.terminal) == (2, 2, True)
    assert world.kept == ["half"]
    await live.aclose()


async def test_what_was_taken_back_is_not_kept() -> None:
    """The reader of a run keeps what is left of its answer."""
    taken = batch(2, Retracted(from_char=4, to_char=12, rule="x"), TextDelta(text=" a bird"))
    world = World(STARTED, batch(1, TextDelta(text="half a heron")), taken, silent=True)
    live = await world.opened()
    reading = following(live)
    await silent(world)
    world.time.advance(TOO_LONG_S)
    await reading
    assert world.kept == ["half a bird"]
    await live.aclose()


async def test_the_failure_continues_the_run_s_event_ids() -> None:
    """The event that the ingress makes has the number after the last one that the agent sent."""
    world = World(STARTED, HALF, silent=True)
    reading = following(await world.opened())
    await silent(world)
    world.time.advance(TOO_LONG_S)
    assert (await reading).first_seq == 2


async def test_the_agents_own_end_wins_within_the_margin() -> None:
    """It brings the bill and is stored already, so the ingress adds nothing."""
    world = World(STARTED, HALF, silent=True)
    live = await world.opened()
    reading = following(live)
    await silent(world)
    world.time.advance(MAX_RUN_S + 1.0)
    assert world.agent.silence is not None
    world.agent.silence.go.set()
    assert await reading == DONE
    await live.aclose()
    await world.service.settled()
    assert (world.store.told, world.ends, world.time.pending) == ([], [], 0)


async def test_a_run_ends_in_time_though_its_reader_is_busy() -> None:
    """While a client is slow to take a batch nobody reads; the run is ended all the same, and the next read is the end."""
    world = World(STARTED, *(batch(number, TextDelta(text="more")) for number in range(1, 9)))
    live = await world.start()
    await anext(aiter(live))
    world.time.advance(TOO_LONG_S)
    await world.service.settled()
    assert world.ends == [OUT_OF_TIME]
    failed = await failure_of(following(live))
    assert (failed.failure.code, failed.partial) == ("deadline_exceeded", False)
    assert not world.agent.closed
    await live.aclose()
    await world.service.settled()
    assert (world.agent.closed, world.store.told) == (True, [])


async def test_a_store_that_hangs_delays_the_end_by_a_second() -> None:
    """Being on record comes first, but not at any price: the record is made later."""
    world = World(STARTED, silent=True)
    live = await world.opened()
    hangs = world.faults.hangs["finish"] = Hangs()
    reading = following(live)
    await silent(world)
    world.time.advance(TOO_LONG_S)
    await hangs.reached.wait()
    assert not reading.done()
    world.time.advance(RECORD_WAIT_S)
    assert (await failure_of(reading)).failure.code == "deadline_exceeded"
    hangs.go.set()
    await world.service.settled()
    assert world.ends == [OUT_OF_TIME]


async def test_a_store_that_is_away_does_not_hide_the_end() -> None:
    """The reader is told, and the record is left to the sweep."""
    world = World(STARTED, silent=True)
    world.faults.failures["finish"] = [StoreUnavailable("down")]
    reading = following(await world.opened())
    await silent(world)
    world.time.advance(TOO_LONG_S)
    assert (await failure_of(reading)).failure.code == "deadline_exceeded"
    await world.service.settled()
    assert world.ends == []


async def test_a_run_that_is_to_continue_has_a_time_limit_too() -> None:
    """To go on without its client is not to go on for ever."""
    world = World(STARTED, silent=True)
    reading = following(await world.opened(replace(ASK, on_disconnect=OnDisconnect.CONTINUE)))
    await silent(world)
    world.time.advance(TOO_LONG_S)
    await failure_of(reading)
    await world.service.settled()
    assert world.ends == [OUT_OF_TIME]


async def test_a_client_that_leaves_a_silent_agent_has_hung_up() -> None:
    """As ever: cancelled, not failed, and no timer is left to say otherwise."""
    world = World(STARTED, silent=True)
    live = await world.opened()
    reading = following(live)
    await silent(world)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await live.aclose()
    world.time.advance(2 * MAX_RUN_S)
    await world.service.settled()
    assert world.store.told == [("cancel", live.run.id, CancelAction.INTERRUPT, "client_disconnected")]
    assert world.ends == [(RunStatus.CANCELLED, None)]
    assert world.time.pending == 0


async def test_a_client_that_leaves_while_its_time_runs_out_sees_itself_cancelled() -> None:
    """Both at once: whoever cancelled the reader is obeyed, and the run is on record as what came first."""
    world = World(STARTED, silent=True)
    live = await world.opened()
    reading = following(live)
    await silent(world)
    world.time.advance(TOO_LONG_S)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await live.aclose()
    await world.service.settled()
    assert world.ends == [OUT_OF_TIME]


async def test_a_run_that_is_refused_leaves_no_timer() -> None:
    """Whatever ends a run before its first event ends its time limit as well."""
    world = World(Overloaded("busy"))
    with pytest.raises(Overloaded):
        await world.start()
    assert (world.time.armed, world.time.pending) == (1, 0)


async def test_a_run_has_one_timer_however_many_batches_it_has() -> None:
    """A batch costs none, and the end of the run takes it away."""
    texts = [batch(number, TextDelta(text="word")) for number in range(1, 100)]
    world = World(STARTED, *texts, batch(100, *DONE.events))
    live = await world.start()
    assert len(await read(live)) == 101
    await turns()
    assert (world.time.armed, world.time.pending) == (1, 0)
