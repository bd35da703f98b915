"""In which order those who wait get a place, and who goes when the line is full."""

from services.errors import Overloaded
from services.resilience.priority import Priority
from tests.services.resilience.callers import Callers, a_limit, learn
from tests.services.resilience.timeline import Timeline


async def test_who_comes_first_is_served_first() -> None:
    """Callers over the limit wait, and each place that comes free is the next one's."""
    time = Timeline()
    callers = Callers(a_limit(time, 1), time)
    await callers.come("a", "b", "c")
    assert (callers.served, callers.limit.waiting) == (["a"], 2)
    await callers.leave("a")
    assert callers.served == ["a", "b"]
    await callers.leave("b")
    await callers.leave("c")
    assert (callers.served, callers.limit.in_use, time.pending) == (["a", "b", "c"], 0, 0)


async def test_the_more_important_are_served_first() -> None:
    """Resumes before new turns, new turns before background work, the judge last; each in order of arrival."""
    time = Timeline()
    callers = Callers(a_limit(time, 1), time)
    await callers.come("holder", priority=Priority.EVALUATION)
    for priority in (Priority.EVALUATION, Priority.NEW_TURN, Priority.BACKGROUND, Priority.RESUME):
        await callers.come(f"{priority.name} 1", f"{priority.name} 2", priority=priority)
    while callers.limit.in_use:
        await callers.leave(callers.served[-1])
    assert callers.served == ["holder", *(f"{p.name} {n}" for p in reversed(Priority) for n in (1, 2))]


async def test_a_full_line_gives_up_its_last_for_who_comes_before_him() -> None:
    """A resume takes the newest evaluation's place, then a turn the other's; equals do not displace each other."""
    time = Timeline()
    callers = Callers(a_limit(time, 2), time)
    await learn(callers.limit, time, 10.0)
    await callers.come("x", "y")
    await callers.come("judge 1", "judge 2", priority=Priority.EVALUATION)
    await callers.come("resume", priority=Priority.RESUME)
    assert isinstance(callers.refused.pop("judge 2"), Overloaded)
    await callers.come("judge 3", priority=Priority.EVALUATION)
    assert list(callers.refused) == ["judge 3"]
    await callers.come("turn")
    assert list(callers.refused) == ["judge 3", "judge 1"]
    await callers.come("turn 2")
    assert list(callers.refused) == ["judge 3", "judge 1", "turn 2"]
    assert callers.limit.waiting == 2


async def test_under_overload_the_newest_is_served_first() -> None:
    """Once the oldest has waited for half of the longest wait the order turns round, and a full line drops its oldest."""
    time = Timeline()
    callers = Callers(a_limit(time, 3), time)
    await learn(callers.limit, time, 10.0)
    await callers.come("x", "y", "z", "old")
    await time.advance(0.51)
    assert callers.limit.overloaded
    await callers.come("young", "new")
    assert callers.limit.waiting == 3
    await callers.come("newer")
    assert list(callers.refused) == ["old"]
    assert not callers.limit.overloaded
    await time.advance(0.4)
    await callers.leave("x")
    assert callers.served[-1] == "young"
    await time.advance(0.2)
    await callers.come("newest")
    await callers.leave("y")
    assert callers.served[-1] == "newest"


async def test_a_hurried_caller_counts_those_who_come_before_him_only() -> None:
    """Three resumes before it make a turn of 0.5 s hopeless where a place comes free every 0.2 s; three evaluations do not."""
    for priority, refused in ((Priority.RESUME, ["hurried"]), (Priority.EVALUATION, [])):
        time = Timeline()
        callers = Callers(a_limit(time, 2), time)
        await learn(callers.limit, time, 0.4)
        await callers.come("x", "y")
        await callers.come("1", "2", "3", priority=priority)
        await callers.come("hurried", within_s=0.5)
        assert list(callers.refused) == refused


async def test_a_hurried_caller_passes_the_late() -> None:
    """Under overload the newest is next, so that those who have waited for long do not make it hopeless."""
    time = Timeline()
    callers = Callers(a_limit(time, 2), time)
    await learn(callers.limit, time, 0.4)
    await callers.come("x", "y", "1", "2", "3")
    await time.advance(0.6)
    await callers.come("hurried", within_s=0.25)
    assert not callers.refused
