"""Deadlines, and the limit that ends what waits for too long."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import pytest

from services.errors import DeadlineExceeded
from services.runs.deadline import Deadline, TimeLimit
from tests.services.runs.manual_time import ManualTime


def test_what_remains_never_falls_below_zero() -> None:
    """A deadline that has passed leaves nothing, and gives nobody any more time."""
    time = ManualTime()
    deadline = Deadline.after(10.0, time)
    assert (deadline.remaining_s(), deadline.clamp(3.0), deadline.clamp(30.0)) == (10.0, 3.0, 10.0)
    time.advance(12.0)
    assert deadline.remaining_s() == 0.0
    with pytest.raises(DeadlineExceeded):
        deadline.clamp(3.0)


class Waiting:
    """A task that waits inside a limit, and says when it has got there."""

    def __init__(self, limit: TimeLimit) -> None:
        self.there = asyncio.Event()
        self.task = asyncio.create_task(self._wait(limit))

    async def _wait(self, limit: TimeLimit) -> None:
        with limit:
            self.there.set()
            await asyncio.Event().wait()


def a_limit(time: ManualTime, seconds: float = 10.0) -> TimeLimit:
    return TimeLimit(seconds, clock=time, call_later=time.call_later)


async def ended(work: Awaitable[None]) -> str:
    """Return how a wait ended, by name."""
    try:
        await work
    except (DeadlineExceeded, asyncio.CancelledError) as error:
        return type(error).__name__
    return "done"


async def test_what_waits_is_ended_when_the_time_is_up() -> None:
    """Not a moment earlier, and the error says how long it was allowed."""
    time = ManualTime()
    waiting = Waiting(a_limit(time, 2.5))
    await waiting.there.wait()
    time.advance(2.4)
    assert not waiting.task.cancelling()
    time.advance(0.2)
    with pytest.raises(DeadlineExceeded, match=r"2\.5 s"):
        await waiting.task


async def test_blocks_cost_no_timer() -> None:
    """However often a limit is entered it has one timer, and none when it is stopped; a stopped limit never passes."""
    time = ManualTime()
    limit = a_limit(time)
    for _ in range(100):
        with limit:
            await asyncio.sleep(0)
    assert (time.armed, time.pending) == (1, 1)
    limit.stop()
    assert time.pending == 0
    time.advance(60.0)
    assert not limit.passed


async def test_a_block_after_the_end_is_not_entered() -> None:
    """Time that ran out while nobody waited ends the next block before it begins."""
    time = ManualTime()
    limit = a_limit(time)
    time.advance(10.0)
    assert limit.passed
    assert await ended(Waiting(limit).task) == "DeadlineExceeded"


@pytest.mark.parametrize("where", ["outside", "inside"])
async def test_a_task_that_was_ended_may_go_on(where: str) -> None:
    """The cancellation ends with the block, whether the block passed it on or swallowed it."""
    time = ManualTime()
    limit = a_limit(time)
    there = asyncio.Event()

    async def wait() -> int:
        if where == "outside":
            with suppress(DeadlineExceeded), limit:
                await there_for_ever()
        else:
            with limit, suppress(asyncio.CancelledError):
                await there_for_ever()
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    async def there_for_ever() -> None:
        there.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await there.wait()
    time.advance(10.0)
    assert await task == 0


async def test_a_cancellation_from_elsewhere_passes_through() -> None:
    """Alone, or at the same moment as the end of the time: whoever cancelled the task must see it cancelled."""
    time = ManualTime()
    alone = Waiting(a_limit(time))
    await alone.there.wait()
    alone.task.cancel()
    assert await ended(alone.task) == "CancelledError"
    both = Waiting(a_limit(time))
    await both.there.wait()
    both.task.cancel()
    time.advance(10.0)
    assert await ended(both.task) == "CancelledError"


async def test_an_error_of_the_block_is_its_own() -> None:
    """What a block raises by itself is not taken for the time limit."""
    limit = a_limit(ManualTime())
    with pytest.raises(ValueError, match="mine"), limit:
        raise ValueError("mine")


async def test_grace_comes_on_top_and_is_announced() -> None:
    """After `extend` the limit passes that much later, and says so once; what remains does not count the grace."""
    time = ManualTime()
    limit = a_limit(time)
    said: list[float] = []
    limit.extend(2.0, lambda: said.append(time.now))
    waiting = Waiting(limit)
    await waiting.there.wait()
    time.advance(11.0)
    assert (limit.remaining_s(), limit.elapsed_s(), limit.passed, said) == (0.0, 11.0, False, [])
    time.advance(20.0)
    assert said == [112.0]
    assert await ended(waiting.task) == "DeadlineExceeded"


async def test_a_timer_that_fires_early_is_set_again() -> None:
    """The clock decides, not the timer."""
    time = ManualTime()
    limit = TimeLimit(10.0, clock=time, call_later=lambda delay_s, callback: time.call_later(delay_s / 2, callback))
    time.advance(9.0)
    assert not limit.passed
    limit.stop()
