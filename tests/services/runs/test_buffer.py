"""The event buffer: merging, windows, back-pressure, the log beside the reader, and the end in two steps."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from uuid import uuid4

import pytest

from services.errors import RunSuperseded
from services.events import EventBatch, ReasoningDelta, RunCompleted, RunStarted, TextDelta, ToolFinished, ToolStarted
from services.runs.buffer import AHEAD_S, ALONG_FROM, EventBuffer
from services.types import Usage
from tests.services.runs.fakes import FakeClock
from tests.services.runs.manual_time import ManualTime
from tests.services.runs.turns import some_turns

END = RunCompleted(finish_reason="stop", usage=Usage(), duration_s=0.0)
TOOL = ToolStarted(call_id="1", name="clock", arguments="{}")
BEGIN = RunStarted(run_id=uuid4(), thread_id=uuid4(), graph="react")


def a_buffer(clock: FakeClock, *, window_s: float = 0.0, max_chars: int = 1_000) -> EventBuffer:
    return EventBuffer(
        attempt=1, window_s=lambda: window_s, max_chars=max_chars, clock=clock, call_later=clock.call_later
    )


async def all_of(buffer: EventBuffer) -> list[EventBatch]:
    return [batch async for batch in buffer.batches()]


async def test_text_between_two_batches_is_one_delta() -> None:
    """Adjacent pieces of one source are merged; a change of source or kind begins a new delta; order is kept."""
    buffer = a_buffer(FakeClock())
    buffer.text("a")
    buffer.text("b")
    buffer.reasoning("hm")
    buffer.text("c")
    buffer.text("d", "math")
    buffer.emit(TOOL)
    buffer.text("e")
    buffer.end(END)
    [batch] = await all_of(buffer)
    assert batch.events == (
        TextDelta(text="ab"),
        ReasoningDelta(text="hm"),
        TextDelta(text="c"),
        TextDelta(text="d", source="math"),
        TOOL,
        TextDelta(text="e"),
        END,
    )


async def test_sequence_numbers_have_no_gap() -> None:
    """Each batch begins where the one before ended, so an event's id is its place in the run."""
    buffer = a_buffer(FakeClock())
    async with aclosing(buffer.batches()) as batches:
        buffer.emit(BEGIN)
        first = await anext(batches)
        buffer.text("x")
        buffer.end(END)
        second = await anext(batches)
    assert (first.first_seq, len(first.events), second.first_seq) == (0, 1, 1)


async def test_the_log_and_the_reader_take_the_same_events() -> None:
    """Each takes all of them once, in its own portions, and where one of them was in the middle of a text both see it cut."""
    buffer = a_buffer(FakeClock())
    buffer.emit(BEGIN)
    buffer.text("a")
    assert buffer.cut() == (0, [BEGIN, TextDelta(text="a")])
    buffer.text("b")
    async with aclosing(buffer.batches()) as batches:
        assert (await anext(batches)).events == (BEGIN, TextDelta(text="a"), TextDelta(text="b"))
        buffer.text("c")
        assert buffer.cut() == (2, [TextDelta(text="b"), TextDelta(text="c")])
        assert buffer.cut() == (4, [])
        buffer.end(END)
        assert (await anext(batches)) == EventBatch(attempt=1, first_seq=3, events=(TextDelta(text="c"), END))


async def test_news_are_told_once_between_two_cuts() -> None:
    """However much is said: the log comes for all of it."""
    buffer = a_buffer(FakeClock())
    told = []
    buffer.on_news = lambda: told.append(buffer.last.seq)
    buffer.text("a")
    buffer.emit(TOOL)
    assert len(told) == 1
    buffer.cut()
    assert len(told) == 1
    buffer.text("b")
    assert len(told) == 2


async def test_text_after_a_checkpoint_is_an_event_of_its_own() -> None:
    """Whoever asks for the last event's id may rely on it to say how much has been said."""
    buffer = a_buffer(FakeClock())
    buffer.text("kept")
    assert str(buffer.last) == "1-0"
    buffer.text(" void")
    assert buffer.cut() == (0, [TextDelta(text="kept"), TextDelta(text=" void")])


async def test_half_a_surrogate_pair_is_made_sound_before_anybody_sees_it() -> None:
    """Two halves in two pieces of text are one character; one alone is U+FFFD, in the reader's events and in the log's."""
    buffer = a_buffer(FakeClock())
    buffer.text("\ud83d")
    buffer.text("\ude00 \ud83d")
    buffer.emit(ToolFinished(call_id="1", name="t", ok=True, result="\ud800", duration_s=0.0))
    async with aclosing(buffer.batches()) as batches:
        text, result = (await anext(batches)).events
    assert text == TextDelta(text="\U0001f600 \ufffd")
    assert isinstance(result, ToolFinished)
    assert result.result == "\ufffd"
    assert buffer.cut() == (0, [text, result])


async def test_the_end_is_not_shown_before_it_is_recorded() -> None:
    """After `close` nothing is handed out or written; `end` hands out what was left, with the terminal event."""
    buffer = a_buffer(FakeClock())
    async with aclosing(buffer.batches()) as batches:
        reading = asyncio.ensure_future(anext(batches))
        buffer.text("last words")
        buffer.close()
        buffer.text("too late")
        buffer.emit(TOOL)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not reading.done()
        buffer.end(END)
        assert (await reading).events == (TextDelta(text="last words"), END)
        with pytest.raises(StopAsyncIteration):
            await anext(batches)


async def test_a_run_that_does_not_end_here_ends_its_reader_with_an_error() -> None:
    """What has not been shown then never is: it may not be in the log either."""
    buffer = a_buffer(FakeClock())
    async with aclosing(buffer.batches()) as batches:
        buffer.text("unseen")
        buffer.end(RunSuperseded("taken over"))
        with pytest.raises(RunSuperseded):
            await anext(batches)


async def test_text_waits_for_the_window_and_nothing_else_does() -> None:
    """Within the window text is held back to be merged; a tool event or the end leaves at once and takes it along."""
    clock = FakeClock()
    buffer = a_buffer(clock, window_s=0.05)
    async with aclosing(buffer.batches()) as batches:
        buffer.text("first")
        assert (await anext(batches)).events == (TextDelta(text="first"),)
        assert clock.slept == []
        buffer.text("second")
        await anext(batches)
        assert clock.slept == [pytest.approx(0.05)]
        buffer.text("third")
        buffer.end(END)
        assert len((await anext(batches)).events) == 2
        assert clock.slept == [pytest.approx(0.05)]


async def test_quiet_text_leaves_at_once() -> None:
    """A token that comes later than the window after the last batch is not held back at all."""
    clock = FakeClock()
    buffer = a_buffer(clock, window_s=0.05)
    async with aclosing(buffer.batches()) as batches:
        buffer.text("first")
        await anext(batches)
        clock.now += 0.06
        buffer.text("second")
        await anext(batches)
    assert clock.slept == []


async def test_a_slow_reader_stops_the_writer() -> None:
    """Over the limit `drain` waits until the reader has taken what there is."""
    buffer = a_buffer(FakeClock(), max_chars=10)
    buffer.text("x" * 11)
    draining = asyncio.create_task(buffer.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    async with aclosing(buffer.batches()) as batches:
        await anext(batches)
    await draining


async def test_a_busy_replica_reads_when_a_batch_is_about_to_leave() -> None:
    """And not as each token comes: what is read then leaves with that batch."""
    time = ManualTime()
    buffer = EventBuffer(attempt=1, window_s=lambda: 0.1, max_chars=1_000, clock=time, call_later=time.call_later)
    async with aclosing(buffer.batches()) as batches:
        buffer.text("first")
        await buffer.pace()  # there was no batch yet
        await anext(batches)
        for turn in ("second", "third"):
            buffer.text(turn)
            leaving = asyncio.ensure_future(anext(batches))
            await paced(time, buffer, 0.1 - AHEAD_S)
            buffer.text(" more")
            await some_turns()
            assert not leaving.done()
            time.advance(AHEAD_S)
            assert (await leaving).events == (TextDelta(text=f"{turn} more"),)


async def test_what_is_read_as_a_batch_leaves_is_followed_a_window_later() -> None:
    """The next read is for the batch after the one that is just about to leave."""
    time = ManualTime()
    buffer = EventBuffer(attempt=1, window_s=lambda: 0.1, max_chars=1_000, clock=time, call_later=time.call_later)
    async with aclosing(buffer.batches()) as batches:
        buffer.text("first")
        await anext(batches)
        time.advance(0.12)
        buffer.text("leaves now")
        await paced(time, buffer, 0.1 - AHEAD_S)


async def test_a_run_whose_text_went_along_reads_for_the_next_that_does() -> None:
    """That is sooner than its own next batch. What waits to go along is followed by what is read for the one after it."""
    time = ManualTime()
    buffer = EventBuffer(attempt=1, window_s=lambda: 0.1, max_chars=1_000, clock=time, call_later=time.call_later)
    between_s = 0.1 * ALONG_FROM
    async with aclosing(buffer.batches()) as batches:
        buffer.text("first")
        await anext(batches)
        time.advance(between_s)
        buffer.text("goes along")
        assert buffer.take_early() is not None
        await paced(time, buffer, between_s - AHEAD_S)
        buffer.text("waits to go along")
        await paced(time, buffer, between_s)
        await anext(batches)
        await paced(time, buffer, 0.1 - AHEAD_S)


@pytest.mark.parametrize("alone", [False, True])
async def test_what_leaves_at_once_says_nothing_of_how_text_will(alone: bool) -> None:
    """Text that left alone is read for the window's end, and text that went along for the next frame, whatever an event did."""
    time = ManualTime()
    buffer = EventBuffer(attempt=1, window_s=lambda: 0.1, max_chars=1_000, clock=time, call_later=time.call_later)
    async with aclosing(buffer.batches()) as batches:
        for event in (BEGIN, TOOL):
            buffer.emit(event)
        await anext(batches)
        time.advance(0.1)
        buffer.text("leaves")
        if alone:
            await anext(batches)
        else:
            buffer.take_early()
        buffer.emit(TOOL)
        await anext(batches)
        await paced(time, buffer, (0.1 if alone else 0.1 * ALONG_FROM) - AHEAD_S)


@pytest.mark.parametrize(
    ("read", "read_at_s", "next_at_s"),
    [("a", 0.04, 0.1), ("a", 0.06, 0.2), ("", 0.06, 0.1)],
    ids=["early", "late", "nothing"],
)
async def test_what_is_read_early_is_joined_by_what_is_read_as_it_leaves(
    read: str, read_at_s: float, next_at_s: float
) -> None:
    """What is read late in a window leaves by itself: it is not worth waking up for once more before it does."""
    time = ManualTime()
    buffer = EventBuffer(attempt=1, window_s=lambda: 0.1, max_chars=1_000, clock=time, call_later=time.call_later)
    async with aclosing(buffer.batches()) as batches:
        buffer.text("first")
        await anext(batches)
        time.advance(read_at_s)
        buffer.text(read)
        await paced(time, buffer, next_at_s - read_at_s - AHEAD_S)


async def paced(time: ManualTime, buffer: EventBuffer, after_s: float) -> None:
    """A reader is kept for so long."""
    pacing = asyncio.create_task(buffer.pace())
    await some_turns()
    time.advance(after_s - 0.001)
    await some_turns()
    assert not pacing.done()
    time.advance(0.001)
    await pacing


@pytest.mark.parametrize("why", ["quiet", "unread", "closed"])
async def test_nothing_is_paced_without_need(why: str) -> None:
    """In a quiet replica, where nobody reads, and at the end."""
    time = ManualTime()
    window_s = 0.01 if why == "quiet" else 0.1
    buffer = EventBuffer(attempt=1, window_s=lambda: window_s, max_chars=1_000, clock=time, call_later=time.call_later)
    async with aclosing(buffer.batches()) as batches:
        buffer.text("first")
        await anext(batches)
        if why == "unread":
            buffer.detach()
        if why == "closed":
            buffer.close()
        await buffer.pace()
        assert time.armed == 0


async def test_after_a_detach_only_the_log_is_waited_for() -> None:
    """A run that nobody reads does not block, and keeps only what its log has yet to take."""
    buffer = a_buffer(FakeClock(), max_chars=10)
    buffer.text("x" * 11)
    waiting = asyncio.create_task(buffer.drain())
    await asyncio.sleep(0)
    buffer.detach()
    await waiting
    buffer.text("y" * 100)
    await buffer.drain()
    buffer.emit(TOOL)
    assert buffer.cut() == (0, [TextDelta(text="x" * 11 + "y" * 100), TOOL])
    assert buffer._events == []
    assert buffer._parts == []


async def test_a_tool_does_not_wait_for_a_window_that_has_begun() -> None:
    """Text that is being held back leaves with the first event that is not text, however long the window still is."""
    timers: list[float] = []

    def never(delay_s: float, callback: Callable[[], None]) -> asyncio.Handle:
        timers.append(delay_s)
        return asyncio.get_running_loop().call_soon(lambda: None)

    clock = FakeClock()
    buffer = EventBuffer(attempt=1, window_s=lambda: 60.0, max_chars=1_000, clock=clock, call_later=never)
    async with aclosing(buffer.batches()) as batches:
        buffer.text("first")
        await anext(batches)
        buffer.text("held back")
        reading = asyncio.ensure_future(anext(batches))
        while not timers:  # noqa: ASYNC110  # one turn of the loop for the reader to begin its wait
            await asyncio.sleep(0)
        buffer.end(END)
        assert (await reading).events == (TextDelta(text="held back"), END)


async def test_results_of_tools_count_as_unread() -> None:
    """A large tool result stops the writer like text does."""
    buffer = a_buffer(FakeClock(), max_chars=10)
    buffer.emit(ToolFinished(call_id="1", name="t", ok=True, result="x" * 11, duration_s=0.0))
    draining = asyncio.create_task(buffer.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    buffer.detach()
    await draining


def never(delay_s: float, callback: Callable[[], None]) -> asyncio.Handle:
    """A timer that does not go off."""
    return asyncio.get_running_loop().call_soon(lambda: None)


@pytest.mark.parametrize("second", ["text", "end"])
async def test_the_first_batch_takes_what_comes_soon_along(second: str) -> None:
    """Text or an end within the wait leaves together with the beginning, and at once."""
    buffer = EventBuffer(attempt=1, window_s=lambda: 60.0, max_chars=1_000, first_batch_wait_s=0.25, call_later=never)
    buffer.emit(BEGIN)
    async with aclosing(buffer.batches()) as batches:
        reading = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        assert not reading.done()
        if second == "text":
            buffer.text("soon")
        else:
            buffer.end(END)
        batch = await reading
    assert batch.events == (BEGIN, TextDelta(text="soon") if second == "text" else END)


async def test_a_beginning_waits_no_longer_than_it_may() -> None:
    """When nothing follows, the client hears after the wait that its run has begun."""
    clock = FakeClock()
    buffer = EventBuffer(
        attempt=1,
        window_s=lambda: 60.0,
        max_chars=1_000,
        first_batch_wait_s=0.25,
        clock=clock,
        call_later=clock.call_later,
    )
    buffer.emit(BEGIN)
    async with aclosing(buffer.batches()) as batches:
        assert (await anext(batches)).events == (BEGIN,)
    assert clock.slept == [0.25]
