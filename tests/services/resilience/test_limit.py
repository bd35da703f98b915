"""The limit on calls at once: when there is a place, how long it is waited for, and when a caller is refused."""

import asyncio

import pytest

from services.errors import DeadlineExceeded, MainstayError, Overloaded
from services.resilience.limit import Slot
from services.runs.deadline import Deadline
from tests.services.resilience.callers import TURN, Callers, a_limit, learn
from tests.services.resilience.timeline import Timeline, settle


async def test_a_free_place_is_taken_without_a_turn_of_the_loop() -> None:
    """Where there is room, taking a place never yields."""
    time = Timeline()
    limit = a_limit(time, 1)
    with pytest.raises(StopIteration) as taken:
        limit.acquire(TURN, Deadline.after(1.0, time)).send(None)
    assert isinstance(taken.value.value, Slot)
    assert (limit.in_use, limit.waiting, time.pending) == (1, 0, 0)


async def test_a_place_is_free_with_the_first_content() -> None:
    """The stream that follows holds no place, and giving a place up twice frees it once."""
    time = Timeline()
    callers = Callers(a_limit(time, 2), time)
    await callers.come("a", "b", "c")
    callers.slots["a"].answered(0.5)
    callers.slots["a"].answered(0.5)
    callers.slots["a"].release()
    await settle()
    assert (callers.served, callers.limit.in_use) == (["a", "b", "c"], 2)
    callers.slots["b"].release()
    callers.slots["b"].release()
    callers.slots["b"].answered(0.5)
    assert callers.limit.in_use == 1


async def test_a_wait_has_an_end() -> None:
    """After `max_wait_s` a caller is told to come back, in whole seconds, one at least."""
    time = Timeline()
    callers = Callers(a_limit(time, 1), time)
    await callers.come("a", "b")
    await time.advance(0.99)
    assert not callers.refused
    await time.advance(0.02)
    [error] = callers.refused.values()
    assert isinstance(error, Overloaded)
    assert error.retry_after_s == 1.0
    assert (callers.limit.waiting, callers.limit.in_use) == (0, 1)


async def test_a_deadline_that_passes_while_waiting_ends_the_wait() -> None:
    """The run's own limit is shorter than the wait: that is what the caller is told."""
    time = Timeline()
    callers = Callers(a_limit(time, 1), time)
    await callers.come("a")
    await callers.come("b", within_s=0.3)
    await time.advance(0.31)
    assert isinstance(callers.refused["b"], DeadlineExceeded)
    assert callers.limit.waiting == 0


async def test_a_deadline_that_is_over_takes_no_place() -> None:
    """Nothing is begun that can no longer end in time."""
    time = Timeline()
    limit = a_limit(time, 1)
    with pytest.raises(DeadlineExceeded):
        await limit.acquire(TURN, Deadline.after(0.0, time))
    assert limit.in_use == 0


async def test_whose_turn_would_come_too_late_is_refused_at_once() -> None:
    """With two places and calls of 0.4 s a place comes free every 0.2 s: the second in line cannot have it within 0.3 s."""
    time = Timeline()
    callers = Callers(a_limit(time, 2), time)
    await learn(callers.limit, time, 0.4)
    await callers.come("a", "b", "first")
    await callers.come("hurried", within_s=0.3)
    assert isinstance(callers.refused["hurried"], Overloaded)
    await callers.come("second", within_s=0.5)
    assert (callers.limit.waiting, list(callers.refused)) == (2, ["hurried"])


async def test_places_held_beyond_the_limit_come_first() -> None:
    """After a decrease from ten places to seven three have to be given up before the first in line has his turn."""
    time = Timeline()
    callers = Callers(a_limit(time, initial=10, min_limit=1), time)
    await learn(callers.limit, time, 1.0)
    await callers.come(*map(str, range(10)))
    callers.limit.decrease()
    await callers.come("hurried", within_s=0.3)
    assert isinstance(callers.refused["hurried"], Overloaded)
    await callers.come("patient", within_s=0.5)
    assert callers.limit.waiting == 1


async def test_the_line_holds_as_much_as_can_be_done_in_the_longest_wait() -> None:
    """Two places and calls of 0.25 s do eight calls in a second: the ninth in line is refused at once."""
    time = Timeline()
    callers = Callers(a_limit(time, 2), time)
    await learn(callers.limit, time, 0.25)
    await callers.come(*map(str, range(11)))
    assert callers.limit.waiting == 8
    assert isinstance(callers.refused["10"], Overloaded)
    assert callers.refused["10"].retry_after_s == 2.0


async def test_the_line_holds_as_many_as_have_a_place() -> None:
    """Where calls take longer than the longest wait, a burst of twice the limit still finds room."""
    time = Timeline()
    callers = Callers(a_limit(time, 4), time)
    await learn(callers.limit, time, 10.0)
    await callers.come(*map(str, range(9)))
    assert (callers.limit.waiting, list(callers.refused)) == (4, ["8"])


async def test_a_throttled_provider_is_given_less_and_nobody_is_thrown_out() -> None:
    """After a 429 more places are held than there are; nobody gets one until so many have been given up."""
    time = Timeline()
    callers = Callers(a_limit(time, initial=10, min_limit=1), time)
    await callers.come(*map(str, range(11)))
    callers.limit.decrease()
    assert (callers.limit.limit, callers.limit.in_use) == (7, 10)
    for name in ("0", "1", "2"):
        await callers.leave(name)
    assert callers.limit.waiting == 1
    await callers.leave("3")
    assert (callers.limit.waiting, callers.limit.in_use) == (0, 7)


async def test_a_limit_that_grows_calls_more_than_one() -> None:
    """The answer that raises the limit frees its own place and fills the new ones."""
    time = Timeline()
    limit = a_limit(time, initial=10, min_limit=1, queue_size=10)
    callers = Callers(limit, time)
    await callers.come(*map(str, range(10 + 19)))
    for n in range(19):
        callers.slots[str(n)].answered(0.1)
        await settle()
    await callers.come("p", "q", "r", "s")
    time.stall(0.25)
    callers.slots["19"].answered(0.1)
    await settle()
    assert (limit.limit, limit.in_use, callers.served[-3:]) == (12, 12, ["p", "q", "r"])


@pytest.mark.parametrize(("callers", "latency_s"), [(200, 0.1), (1_000, 0.1), (200, 0.9)])
async def test_a_burst_that_can_be_served_in_time_is_not_shed(callers: int, latency_s: float) -> None:
    """All of it is served by a limit that knows nothing yet: waiting is for bursts, refusing for what lasts."""
    time = Timeline()
    limit = a_limit(time)
    refused: list[MainstayError] = []

    async def call() -> None:
        try:
            slot = await limit.acquire(TURN, Deadline.after(60.0, time))
        except Overloaded as error:
            refused.append(error)
            return
        answered = asyncio.Event()
        time.call_later(latency_s, answered.set)
        await answered.wait()
        slot.answered(latency_s)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(call())
        await settle()
        for _ in range(40):
            await time.advance(0.05)
    assert refused == []
    assert (limit.in_use, limit.waiting, time.pending) == (0, 0, 0)
