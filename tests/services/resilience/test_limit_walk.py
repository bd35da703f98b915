"""Whatever happens to a limit, and in whatever order, it loses no place and forgets no caller."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.errors import DeadlineExceeded, Overloaded
from services.resilience.limit import Slot
from services.resilience.priority import Priority
from services.runs.deadline import Deadline
from tests.services.resilience.callers import TURN, a_limit
from tests.services.resilience.timeline import Timeline, settle


async def test_who_is_cancelled_when_called_passes_the_place_on() -> None:
    """A caller may be cancelled after it was called and before it could act: the place is the next one's."""
    time = Timeline()
    limit = a_limit(time, 1)
    slot = await limit.acquire(TURN, Deadline.after(60.0, time))
    first, second = (asyncio.create_task(limit.acquire(TURN, Deadline.after(60.0, time))) for _ in range(2))
    await settle()
    slot.release()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    (await second).release()
    assert (limit.in_use, limit.waiting, time.pending) == (0, 0, 0)


async def test_who_is_cancelled_while_waiting_is_not_called() -> None:
    """Between its cancelling and its next turn of the loop a caller is still in line: it is passed over."""
    time = Timeline()
    limit = a_limit(time, 1)
    slot = await limit.acquire(TURN, Deadline.after(60.0, time))
    first, second = (asyncio.create_task(limit.acquire(TURN, Deadline.after(60.0, time))) for _ in range(2))
    await settle()
    first.cancel()
    slot.release()
    (await second).release()
    assert first.cancelled()
    assert limit.in_use == 0


async def test_who_is_cancelled_as_his_wait_ends_is_cancelled() -> None:
    """The timer of a caller who has gone does nothing."""
    time = Timeline()
    limit = a_limit(time, 1)
    await limit.acquire(TURN, Deadline.after(60.0, time))
    waiting = asyncio.create_task(limit.acquire(TURN, Deadline.after(60.0, time)))
    await settle()
    waiting.cancel()
    await time.advance(1.0)
    assert waiting.cancelled()
    assert (limit.in_use, limit.waiting, time.pending) == (1, 0, 0)


async def test_who_is_cancelled_makes_room_in_the_line() -> None:
    """Somebody who comes between another's cancelling and its next turn of the loop may take that place in the line."""
    time = Timeline()
    limit = a_limit(time, 1, max_wait_s=0.1)
    await limit.acquire(TURN, Deadline.after(60.0, time))
    judge = asyncio.create_task(limit.acquire(Priority.EVALUATION, Deadline.after(60.0, time)))
    await settle()
    resume = asyncio.create_task(limit.acquire(Priority.RESUME, Deadline.after(60.0, time)))
    judge.cancel()
    await settle()
    assert judge.cancelled()
    assert (limit.waiting, resume.done()) == (1, False)
    resume.cancel()


async def test_a_thousand_cancelled_waits_lose_no_place() -> None:
    """Callers are cancelled at random while places come free: all places are there in the end, and nobody is left waiting."""
    time, drawn = Timeline(), random.Random(7)
    limit = a_limit(time, 5, max_wait_s=10.0)
    held = [await limit.acquire(TURN, Deadline.after(60.0, time)) for _ in range(5)]
    waiting: list[asyncio.Task[Slot]] = []
    cancelled = 0
    while cancelled < 1_000:
        while len(waiting) < 5:
            priority = drawn.choice(list(Priority))
            waiting.append(asyncio.create_task(limit.acquire(priority, Deadline.after(60.0, time))))
        if drawn.random() < 0.5:
            await settle()
        victim = waiting.pop(drawn.randrange(len(waiting)))
        before = drawn.random() < 0.5
        if held and before:
            held.pop().release()
        victim.cancel()
        cancelled += 1
        if held and not before:
            held.pop().release()
        if drawn.random() < 0.5:
            await settle()
        # Cancelling one who has a place already does nothing: it is held like any other.
        held += [task.result() for task in (victim, *waiting) if task.done() and not task.cancelled()]
        waiting = [task for task in waiting if not task.done()]
        await time.advance(0.01)
    for task in waiting:
        task.cancel()
    await settle()
    held += [task.result() for task in waiting if not task.cancelled()]
    assert (limit.in_use, limit.waiting, time.pending) == (len(held), 0, 0)
    for slot in held:
        slot.release()
    assert limit.in_use == 0


@dataclass
class Walk:
    """Anything that may happen to a limit, in any order, and what holds after it."""

    time: Timeline = field(default_factory=Timeline)
    tasks: list[asyncio.Task[Slot]] = field(default_factory=list)
    held: list[Slot] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limit = a_limit(self.time, initial=2, min_limit=1, max_limit=6, window_samples=2, queue_size=4)

    async def step(self, what: int, number: int) -> None:
        before = self.limit.in_use
        await self._do(what, number)
        # Only a decrease puts more places in use than there are, and from there on they only become fewer.
        assert self.limit.in_use <= max(self.limit.limit, before)

    async def _do(self, what: int, number: int) -> None:
        if what <= 1:
            within_s = 60.0 if number % 3 else 0.2
            deadline = Deadline.after(within_s, self.time)
            self.tasks.append(asyncio.create_task(self.limit.acquire(Priority(number % 4), deadline)))
        elif what == 2 and self.tasks:
            self.tasks[number % len(self.tasks)].cancel()
        elif what == 3 and self.held:
            self.held.pop(number % len(self.held)).answered(0.05 + number % 7 / 10)
        elif what == 4 and self.held:
            self.held.pop(number % len(self.held)).release()
        elif what == 5:
            self.limit.decrease()
        elif what == 6:
            await self.time.advance(number % 10 / 10)
        elif what == 7:
            await settle()
            self.check()

    def check(self) -> None:
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            if not task.cancelled() and task.exception() is None:
                self.held.append(task.result())
            else:
                assert task.cancelled() or isinstance(task.exception(), Overloaded | DeadlineExceeded)
        assert self.limit.in_use == len(self.held)
        assert self.limit.waiting == len(self.tasks) == self.time.pending
        assert not self.tasks or self.limit.in_use >= self.limit.limit, "a caller waits beside a free place"

    async def end(self) -> None:
        await settle()
        self.check()
        while self.held or self.tasks:
            for slot in self.held:
                slot.release()
            self.held.clear()
            await settle()
            self.check()
        assert (self.limit.in_use, self.limit.waiting) == (0, 0)


@settings(max_examples=150, deadline=None)
@example([(0, 0), (0, 0), (6, 0), (5, 0)])
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 1_000)), max_size=60))
def test_whatever_happens_no_place_is_lost(steps: list[tuple[int, int]]) -> None:
    """Places held are places counted, nobody waits beside a free one, the limit holds but after a decrease, nothing leaks."""

    async def walk() -> None:
        walk = Walk()
        for what, number in steps:
            await walk.step(what, number)
        await walk.end()

    asyncio.run(walk())
