"""A stream from an agent that breaks: the run goes on, and its reader reads on from the log as if nothing had been."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.errors import AgentLost, EventsMissing, MainstayError, NotFound, RunSuperseded, StoreUnavailable
from services.events import EventBatch, RunEvent, RunFailed, RunRestarted, TextDelta
from services.runs.live_run import DEADLINE_MARGIN_S
from services.types import EventId, OnDisconnect, RunStatus
from tests.services.runs.ingress_world import (
    ASK,
    COMPLETED,
    HALF,
    MAX_RUN_S,
    OUT_OF_TIME,
    STARTED,
    World,
    batch,
    begin,
    failure_of,
    following,
    read,
    turns,
)

TOO_LONG_S = MAX_RUN_S + DEADLINE_MARGIN_S
KEPT = EventId(attempt=1, seq=1)
BREAKS = pytest.mark.parametrize(
    "broken", [[], [AgentLost("killed")], [RunSuperseded("taken over")]], ids=["ends", "lost", "superseded"]
)


def numbered(batches: Sequence[EventBatch]) -> list[tuple[str, RunEvent]]:
    """Every event with its id."""
    return [
        (f"{part.attempt}-{seq}", event) for part in batches for seq, event in enumerate(part.events, part.first_seq)
    ]


@BREAKS
async def test_the_log_goes_on_where_the_stream_broke(broken: list[MainstayError]) -> None:
    """The agent lives, only its stream broke: what follows the last event comes from the log, and nothing twice.

    The owner is suspected, once; nobody ends the run, or has it stopped.
    """
    world = World(STARTED, HALF, *broken)
    live = await world.start()
    world.say(live.run, *STARTED.events, *HALF.events, TextDelta(text=" and"))
    reading = begin(read(live))
    await world.log.asked.wait()
    await turns()
    world.say(live.run, TextDelta(text=" half"), COMPLETED)
    assert numbered(await reading) == [
        ("1-0", STARTED.events[0]),
        ("1-1", HALF.events[0]),
        ("1-2", TextDelta(text=" and")),
        ("1-3", TextDelta(text=" half")),
        ("1-4", COMPLETED),
    ]
    await live.aclose()
    await world.service.settled()
    assert world.store.told == [("suspect", live.run.id)]
    assert (world.ends, world.kept, world.time.pending) == ([(RunStatus.COMPLETED, None)], [], 0)


async def test_a_reader_who_missed_something_reads_the_log_and_suspects_nobody() -> None:
    """The agent is well: it has sent what did not arrive, or was too much to keep."""
    world = World(STARTED, HALF, EventsMissing("lost on its way"))
    live = await world.start()
    world.say(live.run, *STARTED.events, *HALF.events, TextDelta(text=" and half"), COMPLETED)
    assert [at for at, _ in numbered(await read(live))] == ["1-0", "1-1", "1-2", "1-3"]
    await live.aclose()
    await world.service.settled()
    assert world.store.told == []


@BREAKS
async def test_another_attempt_goes_on_and_says_from_where(broken: list[MainstayError]) -> None:
    """The agent died: the reader is told what is void of what it was shown, and is given what comes instead."""
    world = World(STARTED, HALF, batch(2, TextDelta(text=" shown, and never stored")), *broken)
    live = await world.start()
    world.say(live.run, *STARTED.events, *HALF.events)
    restarted = RunRestarted(attempt=2, keep=KEPT)
    world.say(live.run, restarted, TextDelta(text=" and half"), COMPLETED, attempt=2)
    assert numbered(await read(live))[3:] == [
        ("2-0", restarted),
        ("2-1", TextDelta(text=" and half")),
        ("2-2", COMPLETED),
    ]
    await live.aclose()


async def test_the_owner_s_word_ends_the_run_where_its_log_does_not() -> None:
    """The run failed for good, and no event says so: the reader is given the end that is on record."""
    world = World(STARTED, HALF, AgentLost("killed"))
    live = await world.start()
    failure = AgentLost("given up").to_failure()
    world.tables.end(world.row(live.run), RunStatus.FAILED, failure=failure)
    *_, (at, last) = numbered(await read(live))
    assert at == "1-2"
    assert isinstance(last, RunFailed)
    assert (last.failure, last.partial) == (failure, True)
    await live.aclose()


async def test_a_stream_that_breaks_before_the_first_event_is_waited_for() -> None:
    """`start` returns with the first event, wherever that comes from."""
    world = World(AgentLost("killed"))
    starting = begin(world.start())
    await world.log.asked.wait()
    [run] = world.runs
    world.say(run.id, *STARTED.events, *HALF.events)
    live = await starting
    world.say(run.id, COMPLETED)
    assert [at for at, _ in numbered(await read(live))] == ["1-0", "1-1", "1-2"]
    await live.aclose()


async def test_a_run_that_its_agent_does_not_find_is_read_from_the_log() -> None:
    """Another replica has taken it, or somebody has ended it: either way the log, or the record, says what became of it."""
    world = World(NotFound("not pending"))
    starting = begin(world.start())
    await world.log.asked.wait()
    [run] = world.runs
    world.say(run.id, *STARTED.events, COMPLETED)
    assert [at for at, _ in numbered(await read(await starting))] == ["1-0", "1-1"]


async def test_a_run_that_failed_unseen_is_a_status() -> None:
    """The stream broke before the first event, and the record says that the run has failed: nothing was shown."""
    world = World(AgentLost("killed"))
    starting = begin(world.start())
    await world.log.asked.wait()
    [run] = world.runs
    world.tables.end(world.row(run), RunStatus.FAILED, failure=NotFound("no such graph").to_failure())
    with pytest.raises(NotFound, match="no such graph"):
        await starting
    assert world.time.pending == 0


async def test_a_store_that_does_not_hear_of_it_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """To suspect the owner makes things faster, and no more: the log is read all the same."""
    world = World(STARTED, HALF, AgentLost("killed"))
    live = await world.start()
    world.say(live.run, *STARTED.events, *HALF.events, COMPLETED)
    world.faults.failures["suspect"] = [StoreUnavailable("away")]
    assert [at for at, _ in numbered(await read(live))] == ["1-0", "1-1", "1-2"]
    assert "could not be told" in caplog.text
    await live.aclose()


async def test_a_store_that_is_away_when_the_stream_breaks_is_waited_for() -> None:
    """A client that has seen something keeps its stream: the agent and the store may be lost by the same accident."""
    world = World(STARTED, HALF, AgentLost("killed"))
    live = await world.start()
    world.say(live.run, *STARTED.events, *HALF.events, COMPLETED)
    world.faults.failures["read"] = [StoreUnavailable("away")] * 3
    assert numbered(await read(live))[-1] == ("1-2", COMPLETED)
    assert world.faults.failures["read"] == []
    await live.aclose()


async def test_a_store_that_is_away_before_the_first_event_is_a_status() -> None:
    """Nothing was shown, so the client can be told when to come back."""
    world = World(AgentLost("killed"))
    world.faults.failures["read"] = [StoreUnavailable("away", retry_after_s=1.0)]
    with pytest.raises(StoreUnavailable):
        await world.start()
    assert world.ends == [(RunStatus.FAILED, "store_unavailable")]
    assert world.time.pending == 0


async def test_a_run_that_was_erased_meanwhile_ends_its_stream() -> None:
    """There is nothing to read any more: one terminal event, as ever."""
    world = World(STARTED, HALF, AgentLost("killed"))
    live = await world.start()
    del world.tables.runs[live.run.id]
    *_, (_, last) = numbered(await read(live))
    assert isinstance(last, RunFailed)
    assert (last.failure.code, last.partial) == ("not_found", True)
    await live.aclose()


@pytest.mark.parametrize("policy", OnDisconnect)
async def test_a_hang_up_while_the_log_is_read_is_a_hang_up(policy: OnDisconnect) -> None:
    """Whoever has the run by then is told to stop, unless it is to continue; and the log is not read any more."""
    world = World(STARTED, AgentLost("killed"))
    live = await world.start(replace(ASK, on_disconnect=policy))
    world.say(live.run, *STARTED.events, *HALF.events)
    batches = aiter(live)
    assert [await anext(batches), await anext(batches)] == [STARTED, HALF]
    await live.aclose()
    await world.service.settled()
    cancelled = [what for what, *_ in world.store.told if what == "cancel"]
    assert cancelled == ["cancel"] * (policy is OnDisconnect.CANCEL)
    polling = world.service._log._polling
    assert polling is not None
    await polling


RESTARTS = {
    "all is void": (None, (), False, ""),
    "all is kept": (EventId(attempt=1, seq=1), (), True, "half"),
    "all is void, and some came anew": (None, (TextDelta(text="anew"),), True, "anew"),
    "some is kept, and more came": (EventId(attempt=1, seq=1), (TextDelta(text=" and half"),), True, "half and half"),
    "of the text all is void": (EventId(attempt=1, seq=0), (), False, ""),
}


@pytest.mark.parametrize(("keep", "then", "partial", "kept"), RESTARTS.values(), ids=RESTARTS)
async def test_what_a_restart_takes_back_was_not_said(
    keep: EventId | None, then: tuple[RunEvent, ...], partial: bool, kept: str
) -> None:
    """What is kept of a run that runs out of time, and whether it is partial, is the text that the reader still has."""
    anew = batch(0, RunRestarted(attempt=2, keep=keep), *then, attempt=2)
    world = World(STARTED, HALF, anew, silent=True)
    reading = following(await world.opened())
    assert world.agent.silence is not None
    await world.agent.silence.reached.wait()
    world.time.advance(TOO_LONG_S)
    received = await reading
    assert (received.attempt, received.first_seq) == (2, 1 + len(then))
    failed = await failure_of(reading)
    assert (failed.failure.code, failed.partial) == ("deadline_exceeded", partial)
    assert "".join(world.kept) == kept


async def test_a_run_whose_log_is_read_has_a_time_limit_too() -> None:
    """Its agent's stream broke and nobody went on with it: nobody waits for ever, and what was shown is kept."""
    world = World(STARTED, HALF, AgentLost("gone"))
    live = await world.start()
    assert [await anext(aiter(live)), await anext(aiter(live))] == [STARTED, HALF]
    reading = following(live)
    await world.log.asked.wait()
    world.time.advance(TOO_LONG_S)
    failed = await failure_of(reading)
    assert (failed.failure.code, failed.partial) == ("deadline_exceeded", True)
    assert (world.ends, world.kept) == ([OUT_OF_TIME], ["half"])
    assert world.store.told == [("suspect", live.run.id)]
