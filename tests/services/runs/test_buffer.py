"""The event buffer: merging, windows, back-pressure and detaching."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from uuid import uuid4

import pytest

from services.runs.buffer import EventBuffer
from services.types import (
    EventBatch,
    ReasoningDelta,
    RunCompleted,
    RunStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
    Usage,
)
from tests.services.runs.fakes import FakeClock

END = RunCompleted(finish_reason="stop", usage=Usage(), duration_s=0.0)
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
    tool = ToolStarted(call_id="1", name="clock", arguments="{}")
    buffer.text("a")
    buffer.text("b")
    buffer.reasoning("hm")
    buffer.text("c")
    buffer.text("d", "math")
    buffer.emit(tool)
    buffer.text("e")
    buffer.emit(END)
    [batch] = await all_of(buffer)
    assert batch.events == (
        TextDelta(text="ab"),
        ReasoningDelta(text="hm"),
        TextDelta(text="c"),
        TextDelta(text="d", source="math"),
        tool,
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
        buffer.emit(END)
        second = await anext(batches)
    assert (first.first_seq, len(first.events), second.first_seq) == (0, 1, 1)


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
        buffer.emit(END)
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


async def test_after_a_detach_nothing_is_kept_and_nobody_waits() -> None:
    """A run that nobody reads neither grows nor blocks."""
    buffer = a_buffer(FakeClock(), max_chars=10)
    buffer.text("x" * 11)
    waiting = asyncio.create_task(buffer.drain())
    await asyncio.sleep(0)
    buffer.detach()
    await waiting
    buffer.text("y" * 100)
    buffer.emit(END)
    await buffer.drain()
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
        buffer.emit(END)
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
            buffer.emit(END)
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
