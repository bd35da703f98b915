"""The agent's end of shared frames: what goes along with what, and that nothing is said twice."""

import asyncio
import pickle
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.events import (
    EventBatch,
    ReasoningDelta,
    RunStarted,
    TextDelta,
    ToolStarted,
)
from services.runs.buffer import ALONG_FROM, EventBuffer
from services.runs.multiplex import (
    FRAME_CHARS,
    SMALL_CHARS,
    Frame,
    Multiplexer,
)
from tests.services.runs.framing import END, MINE, OTHER, READER, batch, ticket
from tests.services.runs.manual_time import ManualTime
from tests.services.runs.turns import some_turns

TOOL = ToolStarted(call_id="1", name="clock", arguments="{}")
WINDOW_S = 0.1


class Run:
    """A run at work."""

    def __init__(self, time: ManualTime, *, begun: bool = True) -> None:
        self.buffer = EventBuffer(
            attempt=1, window_s=lambda: WINDOW_S, max_chars=1_000_000, clock=time, call_later=time.call_later
        )
        self.may_show = True
        self.batches = self.buffer.batches()
        if begun:
            self.buffer.emit(RunStarted(run_id=uuid4(), thread_id=uuid4(), graph="react"))
            self.buffer.emit(TOOL)

    def shown(self) -> bool:
        return self.may_show


class Replica:
    """A multiplexer, and a run of it that is about to send a batch while another one has something to say."""

    def __init__(self) -> None:
        self.time = ManualTime()
        self.multiplexer = Multiplexer()
        self.mine, self.other = Run(self.time), Run(self.time)

    async def begin(self) -> None:
        await anext(self.other.batches)
        self.time.advance(WINDOW_S)
        self.other.buffer.text("hello")

    def along(
        self, mine: EventBatch | None = None, *, mine_for: UUID | None = READER, other_for: UUID | None = READER
    ) -> Any:
        """What goes along with the batch."""
        with self.at_work(MINE, self.mine, mine_for), self.at_work(OTHER, self.other, other_for):
            own, *along = self.multiplexer.frame(ticket(MINE, mine_for), mine or batch(3)).batches
        assert own == (MINE, mine or batch(3))
        return along

    def at_work(self, run_id: UUID, run: Run, reader: UUID | None = READER) -> AbstractContextManager[None]:
        return self.multiplexer.sharing(ticket(run_id, reader), run.buffer, run.shown)


@pytest.fixture
async def replica() -> Replica:
    replica = Replica()
    await replica.begin()
    return replica


MUCH = batch(3, TextDelta(text="x" * (SMALL_CHARS + 1)))
HELLO = [(OTHER, batch(2, TextDelta(text="hello")))]


async def test_a_batch_takes_along_what_others_have_to_say(replica: Replica) -> None:
    """It is said once: what went along does not come over the run's own stream again."""
    assert replica.along() == HELLO
    assert replica.along() == []
    replica.other.buffer.end(END)
    assert [each async for each in replica.other.batches] == [batch(3, END)]


@pytest.mark.parametrize(("mine_for", "other_for"), [(READER, uuid4()), (READER, None), (None, READER), (None, None)])
async def test_only_of_the_same_reader(replica: Replica, mine_for: UUID | None, other_for: UUID | None) -> None:
    assert replica.along(mine_for=mine_for, other_for=other_for) == []


async def test_not_before_most_of_the_window_is_over(replica: Replica) -> None:
    """A client is not written to much more often than when runs travel alone."""
    assert replica.along() == HELLO
    replica.other.buffer.text("again")
    replica.time.advance(WINDOW_S * (ALONG_FROM - 0.01))
    assert replica.along() == []
    replica.time.advance(WINDOW_S * 0.02)
    assert replica.along() == [(OTHER, batch(3, TextDelta(text="again")))]


async def test_the_first_batch_travels_by_itself() -> None:
    """It decides on the status of the answer, and may have to wait for what follows."""
    replica = Replica()
    assert replica.along() == []
    replica.other = Run(replica.time, begun=False)
    replica.other.buffer.text("hello")
    assert replica.along() == []


async def test_who_has_nothing_to_say_is_left_alone(replica: Replica) -> None:
    assert replica.along() == HELLO
    replica.time.advance(WINDOW_S)
    assert replica.along() == []


async def test_nothing_goes_along_of_the_run_itself(replica: Replica) -> None:
    """What it has said since its batch was taken is its next batch."""
    with replica.at_work(OTHER, replica.other):
        assert replica.multiplexer.frame(ticket(OTHER), batch(1)).batches == ((OTHER, batch(1)),)


async def test_nothing_goes_along_of_a_run_that_is_not_read_any_more(replica: Replica) -> None:
    with replica.at_work(MINE, replica.mine):
        with replica.at_work(OTHER, replica.other):
            pass
        assert replica.multiplexer.frame(ticket(MINE), batch(1)).batches == ((MINE, batch(1)),)


async def test_nothing_goes_along_that_must_be_stored_first(replica: Replica) -> None:
    replica.other.buffer.emit(TOOL)
    assert replica.along() == []


async def test_nothing_goes_along_that_may_not_be_shown_yet(replica: Replica) -> None:
    replica.other.may_show = False
    assert replica.along() == []


async def test_nothing_goes_along_of_a_run_whose_end_is_being_recorded(replica: Replica) -> None:
    replica.other.buffer.close()
    assert replica.along() == []


async def test_much_text_travels_alone(replica: Replica) -> None:
    """Neither does it take others along, nor does it go along itself."""
    assert replica.along(MUCH) == []
    assert replica.along(batch(3, TextDelta(text="x" * SMALL_CHARS))) == HELLO
    replica.time.advance(WINDOW_S)
    replica.other.buffer.text("x" * (SMALL_CHARS + 1))
    assert replica.along() == []


async def test_a_run_that_has_said_much_travels_alone_from_then_on(replica: Replica) -> None:
    """Its stream may stand still until its reader comes: nothing of others may be in it, and nothing of it elsewhere."""
    with replica.at_work(MINE, replica.mine), replica.at_work(OTHER, replica.other):
        replica.multiplexer.frame(ticket(MINE), MUCH)
        assert replica.multiplexer.frame(ticket(MINE), batch(4)).batches == ((MINE, batch(4)),)
        await anext(replica.mine.batches)
        replica.time.advance(WINDOW_S)
        replica.mine.buffer.text("more")
        assert replica.multiplexer.frame(ticket(OTHER), batch(9)).batches == ((OTHER, batch(9)),)


async def test_those_who_share_are_not_forgotten_with_one_that_has_left_off(replica: Replica) -> None:
    """The last one who shared is gone for the moment when it ends; others have begun meanwhile."""
    alone = replica.at_work(MINE, replica.mine)
    alone.__enter__()
    replica.multiplexer.frame(ticket(MINE), MUCH)
    with replica.at_work(UUID(int=3), Run(replica.time)):
        pass
    with replica.at_work(UUID(int=3), Run(replica.time)), replica.at_work(OTHER, replica.other):
        alone.__exit__(None, None, None)
        assert replica.multiplexer.frame(ticket(UUID(int=3)), batch(1)).batches[1:] == tuple(HELLO)


async def test_a_frame_has_an_end() -> None:
    """Serve lets no more than 4 MiB pass: what there is no room for comes with the next frame, or alone."""
    time, multiplexer = ManualTime(), Multiplexer()
    runs = {uuid4(): Run(time) for _ in range(2 * FRAME_CHARS // SMALL_CHARS)}
    for run in runs.values():
        await anext(run.batches)
    time.advance(WINDOW_S)
    with ExitStack() as at_work:
        at_work.enter_context(multiplexer.sharing(ticket(MINE), Run(time).buffer, lambda: True))
        for run_id, run in runs.items():
            run.buffer.text("x" * SMALL_CHARS)
            at_work.enter_context(multiplexer.sharing(ticket(run_id), run.buffer, run.shown))
        first, second, third = (multiplexer.frame(ticket(MINE), batch(3)).batches[1:] for _ in range(3))
    assert len(first) == len(second) == FRAME_CHARS // SMALL_CHARS
    assert {run_id for run_id, _ in (*first, *second, *third)} == set(runs)


async def test_what_is_taken_while_the_window_passes_is_not_handed_out_again(replica: Replica) -> None:
    """The stream waits for the end of the window; what it waited with is gone then, and the next window has begun."""
    buffer, batches = replica.other.buffer, replica.other.batches
    assert (await anext(batches)).events == (TextDelta(text="hello"),)
    buffer.text("one")
    following = asyncio.ensure_future(anext(batches))
    await some_turns()
    replica.time.advance(WINDOW_S * 0.8)
    assert replica.along() == [(OTHER, batch(3, TextDelta(text="one")))]
    buffer.text("two")
    replica.time.advance(WINDOW_S * 0.2)
    await some_turns()
    assert not following.done()
    replica.time.advance(WINDOW_S * 0.8)
    assert await following == batch(4, TextDelta(text="two"))


async def test_what_is_taken_before_the_stream_wakes_is_not_handed_out_again(replica: Replica) -> None:
    """Text wakes the stream, whose turn has not come yet when another run's frame takes the text."""
    buffer, batches = replica.other.buffer, replica.other.batches
    assert (await anext(batches)).events == (TextDelta(text="hello"),)
    following = asyncio.ensure_future(anext(batches))
    await some_turns()
    replica.time.advance(WINDOW_S)
    buffer.text("one")
    assert replica.along() == [(OTHER, batch(3, TextDelta(text="one")))]
    await some_turns()
    replica.time.advance(WINDOW_S)
    await some_turns()
    assert not following.done()
    buffer.text("two")
    assert await following == batch(4, TextDelta(text="two"))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_frame_crosses_as_it_is(protocol: int) -> None:
    """Text as itself, and with its source, among other events; the character from which on there is no verdict yet."""
    said = (TextDelta(text="4"), TOOL, TextDelta(text="", source="writer"), ReasoningDelta(text="2"), END)
    ahead = EventBatch(attempt=2, first_seq=7, events=(TextDelta(text="x"),), unjudged_from=0)
    frame = Frame(batches=((MINE, batch(3, *said)), (OTHER, ahead)))
    assert pickle.loads(pickle.dumps(frame, protocol)) == frame


def test_text_crosses_in_few_bytes() -> None:
    """What is sent a thousand times a second names neither classes nor fields for each piece of text."""
    said = [TextDelta(text=f"hello {number}") for number in range(2)]
    one, two = (Frame(batches=((MINE, batch(3, *said[:count])),)) for count in (1, 2))
    assert len(pickle.dumps(two)) - len(pickle.dumps(one)) < 12
