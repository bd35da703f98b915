"""The ingress's end of shared frames: every reader has its own run, whole and in order, or is sent to the log."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import AgentLost, EventsMissing, NotFound
from services.events import (
    EventBatch,
    ReasoningDelta,
    RunEvent,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from services.runs.multiplex import (
    GAP_S,
    INBOX_CHARS,
    LINGER_S,
    SMALL_CHARS,
    Demultiplexer,
    Frame,
)
from services.types import RunTicket
from tests.services.runs.framing import END, MINE, OTHER, READER, batch, ticket
from tests.services.runs.manual_time import ManualTime
from tests.services.runs.turns import some_turns, until


class Stream:
    """What comes of one run's agent, as the test sends it."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[Frame | BaseException | None] = asyncio.Queue()
        self.asked = 0
        self.closed = False
        self.cut = False

    def send(self, *batches: tuple[UUID, EventBatch]) -> None:
        self.items.put_nowait(Frame(batches=batches))

    def fail(self, error: BaseException) -> None:
        self.items.put_nowait(error)

    def stop(self) -> None:
        self.items.put_nowait(None)


class Agents:
    """A carrier with one stream for each run."""

    def __init__(self) -> None:
        self.streams = {MINE: Stream(), OTHER: Stream()}
        self.readers: set[UUID | None] = set()

    async def execute(self, ticket: RunTicket) -> AsyncGenerator[Frame, None]:
        self.readers.add(ticket.reader)
        stream = self.streams[ticket.run_id]
        try:
            while True:
                stream.asked += 1
                item = await stream.items.get()
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    return
                yield item
        except asyncio.CancelledError:
            stream.cut = True
            raise
        finally:
            stream.closed = True


class Reading:
    """A reader of one run, who takes everything at once."""

    def __init__(self, batches: AsyncGenerator[EventBatch, None]) -> None:
        self.got: list[EventBatch] = []
        self.batches = batches
        self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async with aclosing(self.batches) as batches:
            async for batch in batches:
                self.got.append(batch)


class Site:
    def __init__(self) -> None:
        self.time = ManualTime()
        self.agents = Agents()
        self.demultiplexer = Demultiplexer(self.agents, reader=READER, call_later=self.time.call_later)
        self.mine, self.others = self.agents.streams[MINE], self.agents.streams[OTHER]

    async def read(self, run_id: UUID) -> Reading:
        reading = Reading(self.demultiplexer.execute(ticket(run_id, None)))
        await some_turns()
        return reading


@pytest.fixture
def site() -> Site:
    return Site()


async def test_each_reader_is_given_its_own(site: Site) -> None:
    """Whatever stream it comes over, and the agents are told who reads."""
    mine, other = await site.read(MINE), await site.read(OTHER)
    site.mine.send((MINE, batch(0)), (OTHER, batch(0)))
    await some_turns()
    site.others.send((OTHER, batch(1)), (MINE, batch(1)))
    await some_turns()
    site.mine.send((MINE, batch(2, END)))
    site.others.send((OTHER, batch(2, END)))
    await asyncio.gather(mine.task, other.task)
    assert mine.got == other.got == [batch(0), batch(1), batch(2, END)]
    assert site.agents.readers == {READER}


async def test_a_batch_waits_for_the_one_that_it_overtook(site: Site) -> None:
    """Two streams keep no order between them."""
    mine = await site.read(MINE)
    other = await site.read(OTHER)
    site.mine.send((MINE, batch(0)))
    site.mine.send((MINE, batch(2)))
    await some_turns()
    assert mine.got == [batch(0)]
    site.others.send((OTHER, batch(0)), (MINE, batch(1)))
    await some_turns()
    assert mine.got == [batch(0), batch(1), batch(2)]
    assert other.got == [batch(0)]
    site.time.advance(GAP_S)
    for stream, run_id, reading in ((site.mine, MINE, mine), (site.others, OTHER, other)):
        stream.send((run_id, batch(len(reading.got), END)))
        await reading.task


@pytest.mark.parametrize("ended", [False, True])
async def test_what_was_lost_on_its_way_sends_the_reader_to_the_log(site: Site, ended: bool) -> None:
    """It has all that came before the gap, and its agent is told that nobody reads."""
    mine = await site.read(MINE)
    site.mine.send((MINE, batch(0)))
    site.mine.send((MINE, batch(2, END) if ended else batch(2)))
    await some_turns()
    site.time.advance(GAP_S - 0.01)
    await some_turns()
    assert not mine.task.done()
    site.time.advance(0.02)
    with pytest.raises(EventsMissing):
        await mine.task
    assert mine.got == [batch(0)]
    site.time.advance(LINGER_S)
    await until(lambda: site.mine.closed)
    assert not site.demultiplexer._inboxes  # nothing is kept of a run that was read


@pytest.mark.parametrize("error", [AgentLost("gone"), NotFound("none")])
async def test_what_breaks_a_stream_comes_after_what_was_said(site: Site, error: Exception) -> None:
    mine = await site.read(MINE)
    site.mine.send((MINE, batch(0)))
    site.mine.fail(error)
    with pytest.raises(type(error)):
        await mine.task
    assert mine.got == [batch(0)]


async def test_a_stream_that_ends_too_early_is_an_end(site: Site) -> None:
    """As of any stream of an agent: whoever reads it sees that the terminal event is missing."""
    mine = await site.read(MINE)
    site.mine.send((MINE, batch(0)))
    site.mine.stop()
    await mine.task
    assert mine.got == [batch(0)]


async def test_short_gaps_one_after_the_other_are_not_a_long_one(site: Site) -> None:
    """Each has its own time; and what comes too late but before the reader has looked is in time."""
    mine = await site.read(MINE)
    for seq in (0, 2, 1, 4, 3, 6):
        site.mine.send((MINE, batch(seq)))
        await some_turns()
        site.time.advance(GAP_S * 0.6)
        await some_turns()
    assert len(mine.got) == 5
    site.time.advance(GAP_S)
    site.mine.send((MINE, batch(5)), (OTHER, batch(0)))
    site.demultiplexer._inboxes[MINE].put(batch(5))
    await some_turns()
    assert len(mine.got) == 7
    assert not mine.task.done()
    mine.task.cancel()


@pytest.mark.parametrize("said", ["little", "x" * (SMALL_CHARS + 1)], ids=["shares", "alone"])
async def test_a_stream_that_ends_is_not_cut(site: Site, said: str) -> None:
    """Its agent would have to take note of that."""
    mine = await site.read(MINE)
    site.mine.send((MINE, batch(0, TextDelta(text=said))))
    site.mine.send((MINE, batch(1, END)))
    await mine.task
    site.mine.stop()
    await until(lambda: site.mine.closed)
    assert not site.mine.cut


async def test_the_stream_of_who_has_left_is_received_for_what_it_brings_to_others(site: Site) -> None:
    """Until the run ends, which it does soon where its reader's leaving stops it."""
    mine, other = await site.read(MINE), await site.read(OTHER)
    site.mine.send((MINE, batch(0)), (OTHER, batch(0)))
    site.mine.send((MINE, batch(2)))
    await some_turns()
    mine.task.cancel()
    await some_turns()
    site.mine.send((MINE, batch(1)), (OTHER, batch(1)))
    site.mine.send((MINE, batch(3, END)), (OTHER, batch(2)))
    site.mine.stop()
    await until(lambda: site.mine.closed)
    await until(lambda: site.time.pending == 0)
    assert other.got == [batch(0), batch(1), batch(2)]
    assert not site.others.closed
    other.task.cancel()


async def test_the_stream_of_who_has_left_is_closed_in_the_end(site: Site) -> None:
    """An agent that was not told by then goes on to nobody."""
    mine = await site.read(MINE)
    site.mine.send((MINE, batch(0)))
    await some_turns()
    mine.task.cancel()
    await some_turns()
    site.time.advance(LINGER_S - 0.01)
    await some_turns()
    assert not site.mine.closed
    site.time.advance(0.02)
    await until(lambda: site.mine.closed)


async def test_a_stream_that_is_cut_off_is_an_agent_lost(site: Site) -> None:
    """Whoever cancels it: the reader was not cancelled."""
    mine = await site.read(MINE)
    site.mine.fail(asyncio.CancelledError())
    with pytest.raises(AgentLost):
        await mine.task


async def test_a_run_that_says_much_waits_for_its_reader(site: Site) -> None:
    """Nothing more of it is received before, and it is left at once."""
    sizes = (SMALL_CHARS + 1, INBOX_CHARS + 1, 1, 1)
    much = [batch(seq, TextDelta(text="x" * size)) for seq, size in enumerate(sizes)]
    batches = site.demultiplexer.execute(ticket(MINE, None))
    for each in much:
        site.mine.send((MINE, each))
    for asked, each in enumerate(much, 1):
        assert await anext(batches) == each
        await some_turns()
        assert site.mine.asked == asked
    await batches.aclose()
    await until(lambda: site.mine.closed)


@pytest.mark.parametrize(
    "event",
    [
        TextDelta(text="x" * 900),
        ReasoningDelta(text="x" * 900),
        ToolFinished(call_id="1", name="clock", ok=True, result="x" * 900, duration_s=0.0),
        ToolStarted(call_id="1", name="clock", arguments="x" * 900),
    ],
)
async def test_no_more_is_kept_for_a_reader_than_he_may_be_behind(site: Site, event: RunEvent) -> None:
    """He is sent to the log, which waits for him; everybody else is served as before."""
    fits = INBOX_CHARS // 900
    other = await site.read(OTHER)
    async with aclosing(site.demultiplexer.execute(ticket(MINE, None))) as batches:
        for seq in range(fits):
            site.mine.send((MINE, batch(seq, event)))
        assert await anext(batches) == batch(0, event)
        site.mine.send((MINE, batch(fits, event)))
        await some_turns(fits * 5)
        for seq in range(1, fits + 1):
            assert await anext(batches) == batch(seq, event)
        for seq in range(fits + 1, 3 * fits):
            site.mine.send((MINE, batch(seq, event)), (OTHER, batch(seq - fits - 1)))
        site.mine.send((MINE, batch(3 * fits, TextDelta(text="x" * (SMALL_CHARS + 1)))))
        await until(lambda: len(other.got) == 2 * fits - 1)
        await some_turns()
        with pytest.raises(EventsMissing):
            await anext(batches)
    other.task.cancel()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_reader_has_its_run_whole_and_in_order(data: Any) -> None:
    """However the batches of three runs are spread over their streams, the streams' frames interleave, and readers leave."""
    runs = [UUID(int=n) for n in range(1, 4)]
    said = {run: [batch(seq) for seq in range(data.draw(st.integers(1, 6)))] for run in runs}
    for run in runs:
        said[run].append(batch(len(said[run]), END))
    carried: dict[UUID, list[list[tuple[UUID, EventBatch]]]] = {run: [] for run in runs}
    for run in runs:
        for each in said[run]:
            over = run if each.first_seq == 0 or each.terminal else data.draw(st.sampled_from(runs))
            if over == run or not carried[over]:
                carried[run].append([(run, each)])
            else:
                data.draw(st.sampled_from(carried[over])).append((run, each))
    order = data.draw(st.permutations([run for run in runs for _ in carried[run]]))
    leaves = data.draw(st.dictionaries(st.integers(0, len(order) - 1), st.sampled_from(runs[1:])))

    async def read_all() -> dict[UUID, Sequence[EventBatch]]:
        agents, time = Agents(), ManualTime()
        agents.streams = {run: Stream() for run in runs}
        demultiplexer = Demultiplexer(agents, reader=READER, call_later=time.call_later)
        readings = {run: Reading(demultiplexer.execute(ticket(run, None))) for run in runs}
        await some_turns()
        for at, run in enumerate(order):
            agents.streams[run].send(*carried[run].pop(0))
            await some_turns(3)
            time.advance(LINGER_S / 100)
            if at in leaves:
                readings[leaves[at]].task.cancel()
        left = set(leaves.values())
        await asyncio.wait_for(asyncio.gather(*(readings[run].task for run in runs if run not in left)), 5)
        return {run: readings[run].got for run in runs if run not in left}

    assert asyncio.run(read_all()) == {run: said[run] for run in runs if run not in leaves.values()}
