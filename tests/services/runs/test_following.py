"""Runs as they are read from the event log: everything once, in order, for any number of readers, at one query for all."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

import pytest

from services.errors import AgentLost, MainstayError, NotFound, StoreUnavailable
from services.events import (
    EventBatch,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunInterrupted,
    RunRestarted,
    RunStarted,
    TextDelta,
)
from services.runs.following import FollowPolicy, LogFollower, ending_of
from services.runs.ports import LogPage
from services.types import EventId, Interruption, Run, RunStatus, Usage
from tests.services.runs.manual_time import ManualTime

T = TypeVar("T")

RUN = Run(
    id=uuid4(),
    thread_id=uuid4(),
    tenant_id="acme",
    user_id="ann",
    graph="react",
    status=RunStatus.RUNNING,
    messages=(),
    attempt=1,
)
COMPLETED = RunCompleted(finish_reason="stop", usage=Usage(output_tokens=3), duration_s=1.0)


class ScriptedLog:
    """The log of some runs, as rows that a test appends; counts who was asked for."""

    def __init__(self) -> None:
        self.rows: dict[UUID, list[EventBatch]] = {}
        self.ended: dict[UUID, Run] = {}
        self.asked: list[Mapping[UUID, EventId | None]] = []
        self.watched: list[set[UUID]] = []
        self.failures: list[MainstayError | Exception] = []
        self.page_rows = 2

    async def read(self, positions: Mapping[UUID, EventId | None]) -> Mapping[UUID, LogPage]:
        self.asked.append(dict(positions))
        if self.failures:
            raise self.failures.pop(0)
        return {run_id: self._page(run_id, at) for run_id, at in positions.items() if run_id in self.rows}

    async def watch(self, run_ids: Collection[UUID]) -> None:
        self.watched.append(set(run_ids))

    def _page(self, run_id: UUID, at: EventId | None) -> LogPage:
        behind = [row for row in self.rows[run_id] if at is None or row.last > at]
        return LogPage(batches=tuple(behind[: self.page_rows]), ended=None if behind else self.ended.get(run_id))

    def say(self, run_id: UUID, *events: RunEvent, attempt: int = 1) -> None:
        rows = self.rows.setdefault(run_id, [])
        of_attempt = [row for row in rows if row.attempt == attempt]
        first = of_attempt[-1].last.seq + 1 if of_attempt else 0
        rows.append(EventBatch(attempt=attempt, first_seq=first, events=events))


class World:
    def __init__(self) -> None:
        self.time = ManualTime()
        self.log = ScriptedLog()
        self.follower = LogFollower(self.log, FollowPolicy(), clock=self.time, call_later=self.time.call_later)
        self.run_id = uuid4()
        self.log.rows[self.run_id] = []

    def say(self, *events: RunEvent, attempt: int = 1) -> None:
        self.log.say(self.run_id, *events, attempt=attempt)

    async def read(self, after: EventId | None = None) -> list[tuple[EventId, RunEvent]]:
        """Everything that a reader is given, until the end."""
        given: list[tuple[EventId, RunEvent]] = []
        async for batch in self.follower.follow(self.run_id, after):
            for seq, event in enumerate(batch.events, batch.first_seq):
                given.append((EventId(attempt=batch.attempt, seq=seq), event))
        return given

    async def until_asked(self, times: int) -> None:
        """Let time pass until the log was asked so often."""
        async with asyncio.timeout(5):
            while len(self.log.asked) < times:
                await asyncio.sleep(0)
                self.time.advance(0.05)

    async def end_of(self, reading: "asyncio.Task[T]") -> T:
        """Let time pass until a reader is done."""
        async with asyncio.timeout(5):
            while not reading.done():
                await asyncio.sleep(0)
                self.time.advance(0.05)
        return await reading


def started() -> RunStarted:
    return RunStarted(run_id=uuid4(), thread_id=uuid4(), graph="react")


async def test_what_was_said_comes_first_and_then_what_is_said() -> None:
    """A reader gets the whole log over several pages, and then each new row, until the terminal event."""
    world = World()
    world.say(started())
    for word in ("a", "b", "c"):
        world.say(TextDelta(text=word))
    reading = asyncio.create_task(world.read())
    await world.until_asked(4)
    world.say(TextDelta(text="d"), COMPLETED)
    given = await world.end_of(reading)
    assert [at.seq for at, _ in given] == [0, 1, 2, 3, 4, 5]
    assert "".join(event.text for _, event in given if isinstance(event, TextDelta)) == "abcd"
    assert given[-1][1] == COMPLETED


@pytest.mark.parametrize("index", range(7))
async def test_a_reader_goes_on_behind_any_event(index: int) -> None:
    """Also behind one in the middle of a row, and behind the very last one: then there is nothing."""
    world = World()
    world.say(started(), TextDelta(text="a"))
    world.say(TextDelta(text="b", source="x"), TextDelta(text="c"), TextDelta(text="d", source="y"))
    world.say(TextDelta(text="e"), COMPLETED)
    whole = await world.read()
    assert len(whole) == 7
    assert await world.read(whole[index][0]) == whole[index + 1 :]


async def test_a_restart_is_told_to_who_has_seen_more_than_was_stored() -> None:
    """The client has seen events of the lost attempt that nobody stored: it is given the next attempt from its start."""
    world = World()
    world.say(started(), TextDelta(text="kept"))
    world.say(
        RunRestarted(attempt=2, keep=EventId(attempt=1, seq=1)), TextDelta(text=" and anew"), COMPLETED, attempt=2
    )
    given = await world.read(EventId(attempt=1, seq=9))
    assert [type(event) for _, event in given] == [RunRestarted, TextDelta, RunCompleted]


@pytest.mark.parametrize("seen_s_end", [False, True])
async def test_a_run_whose_log_has_no_end_is_given_one_once(seen_s_end: bool) -> None:
    """Its record says how it ended, and whoever was told of that is not told again."""
    world = World()
    world.say(started(), TextDelta(text="half"))
    failure = AgentLost("gone").to_failure()
    world.log.ended[world.run_id] = replace(RUN, status=RunStatus.FAILED, failure=failure)
    end = EventId(attempt=1, seq=2)
    given = await world.end_of(asyncio.create_task(world.read(end if seen_s_end else None)))
    if seen_s_end:
        assert given == []
        return
    at, event = given[-1]
    assert at == end
    assert isinstance(event, RunFailed)
    assert (event.failure, event.partial) == (failure, True)


def test_every_way_to_end_has_its_event() -> None:
    """The record of a run says all that its terminal event did, but for how much of an answer was shown."""
    begun = datetime(2026, 11, 22, tzinfo=UTC)
    run = replace(RUN, started_at=begun, finished_at=begun + timedelta(seconds=2.5), usage=Usage(model_calls=1))
    asked = (Interruption(id="i", value="sure?"),)
    endings = {
        status: ending_of(replace(run, status=status, interrupts=asked, cancel_reason="requested"), partial=False)
        for status in RunStatus
        if status.ended
    }
    assert endings[RunStatus.COMPLETED] == RunCompleted(finish_reason="stop", usage=run.usage, duration_s=2.5)
    assert endings[RunStatus.CANCELLED] == RunCancelled(reason="requested", usage=run.usage, duration_s=2.5)
    assert endings[RunStatus.INTERRUPTED] == RunInterrupted(interrupts=asked, usage=run.usage, duration_s=2.5)
    assert isinstance(endings[RunStatus.FAILED], RunFailed)
    assert len(endings) == 4


async def test_many_readers_cost_one_query() -> None:
    """Readers of several runs, and several of one run, are served by the same look at the log."""
    world = World()
    other = uuid4()
    world.log.rows[other] = []
    readings = [asyncio.create_task(world.read()) for _ in range(3)]
    readings.append(asyncio.create_task(_all_of(world, other)))
    await world.until_asked(2)
    assert set(world.log.asked[-1]) == {world.run_id, other}
    for run_id in (world.run_id, other):
        world.log.say(run_id, started(), COMPLETED)
    assert [len(await world.end_of(reading)) for reading in readings] == [2, 2, 2, 1]


async def test_a_reader_far_ahead_is_not_given_what_it_has() -> None:
    """Two readers of one run at different places share a query and each gets its own events."""
    world = World()
    world.say(started(), TextDelta(text="a"))
    world.say(TextDelta(text="b"), TextDelta(text="c", source="x"))
    behind, ahead = await asyncio.gather(
        _first(world, EventId(attempt=1, seq=0)), _first(world, EventId(attempt=1, seq=2))
    )
    assert behind == EventBatch(attempt=1, first_seq=1, events=(TextDelta(text="a"),))
    assert ahead == EventBatch(attempt=1, first_seq=3, events=(TextDelta(text="c", source="x"),))
    assert len(world.log.asked) == 1


async def test_a_quiet_log_is_asked_less_often_and_a_busy_one_at_once() -> None:
    """The pause grows to its bound while nothing comes, and is short again once something does."""
    world = World()
    world.say(started())
    reading = asyncio.create_task(world.read())
    pauses = []
    for _ in range(8):
        armed = world.time.armed
        while world.time.armed == armed:  # noqa: ASYNC110  # until the follower pauses
            await asyncio.sleep(0)
        timer = world.time._timers[-1]
        pauses.append(round(timer.at - world.time.now, 3))
        world.time.advance(timer.at - world.time.now)
    assert pauses[:3] == [0.1, 0.15, 0.225]
    assert set(pauses[3:]) == {0.25}
    world.say(COMPLETED)
    await world.end_of(reading)


async def test_owners_are_told_that_somebody_reads() -> None:
    """Every so often, and never of a run that has ended."""
    world = World()
    world.say(started())
    reading = asyncio.create_task(world.read())
    await world.until_asked(3)
    assert world.log.watched == [{world.run_id}]
    world.time.advance(FollowPolicy().watch_s)
    await world.until_asked(len(world.log.asked) + 2)
    assert world.log.watched == [{world.run_id}] * 2
    world.say(COMPLETED)
    await world.end_of(reading)


async def test_an_unknown_run_is_not_found() -> None:
    """There is no page of it."""
    world = World()
    with pytest.raises(NotFound):
        await _all_of(world, uuid4())


async def test_a_first_look_that_fails_is_raised_and_a_later_one_waited_for() -> None:
    """A client that has seen something keeps its stream through an outage of the store."""
    world = World()
    world.log.failures = [StoreUnavailable("away")]
    with pytest.raises(StoreUnavailable):
        await world.read()
    world.say(started())
    reading = asyncio.create_task(world.read())
    await world.until_asked(3)
    world.log.failures = [StoreUnavailable("away")] * 3
    world.say(COMPLETED)
    assert (await world.end_of(reading))[-1][1] == COMPLETED
    assert world.log.failures == []


async def test_a_log_that_cannot_be_read_at_all_ends_the_readers() -> None:
    """A bug while reading is nobody's to wait for: it is logged, and the readers are told."""
    world = World()
    world.log.failures = [ValueError("rotten row")]
    with pytest.raises(StoreUnavailable):
        await world.read()


async def test_nobody_is_asked_for_readers_that_have_left() -> None:
    """A reader that goes leaves no poll behind."""
    world = World()
    world.say(started())
    stream = world.follower.follow(world.run_id)
    await anext(stream)
    await stream.aclose()
    asked = len(world.log.asked)
    for _ in range(20):
        world.time.advance(1.0)
        await asyncio.sleep(0)
    assert len(world.log.asked) == asked


async def _all_of(world: World, run_id: UUID) -> list[EventBatch]:
    return [batch async for batch in world.follower.follow(run_id)]


async def _first(world: World, after: EventId) -> EventBatch:
    stream = world.follower.follow(world.run_id, after)
    batch = await anext(stream)
    await stream.aclose()
    return batch
