"""What a process refuses when it has more to do than it can, and when it takes it on again."""

import logging

import pytest

from services.errors import ConfigurationError, Overloaded
from services.resilience.overload import LoadMonitor, LoadPolicy
from services.resilience.priority import Priority, come_back_s
from tests.services.resilience.timeline import Timeline


class Memory:
    """A share of memory that a test sets."""

    def __init__(self) -> None:
        self.share = 0.5
        self.broken = False

    def __call__(self) -> float:
        if self.broken:
            raise OSError("too many open files")
        return self.share


def a_monitor(time: Timeline, memory: Memory | None = None) -> LoadMonitor:
    monitor = LoadMonitor(memory_share=memory, clock=time, call_later=time.call_later, random=lambda: 0.0)
    monitor.start()
    return monitor


def shed(monitor: LoadMonitor) -> list[Priority]:
    return [priority for priority in Priority if monitor.sheds(priority)]


async def late(time: Timeline, lag_s: float, times: int = 20) -> None:
    """The loop is late by so much, so many times over: long enough for the average to follow."""
    for _ in range(times):
        time.stall(0.25 + lag_s)
        await time.advance(0.0)


@pytest.mark.parametrize(
    ("lag_s", "refused"),
    [
        (0.0, []),
        (0.24, []),
        (0.26, [Priority.EVALUATION]),
        (0.51, [Priority.EVALUATION, Priority.BACKGROUND]),
        (2.1, [Priority.EVALUATION, Priority.BACKGROUND, Priority.NEW_TURN]),
        (5.1, list(Priority)),
    ],
)
async def test_the_later_the_loop_the_more_is_refused(lag_s: float, refused: list[Priority]) -> None:
    """Evaluation goes first, then background work, then new turns, resumes last."""
    time = Timeline()
    monitor = a_monitor(time)
    await late(time, lag_s)
    assert monitor.lag_s == pytest.approx(lag_s, abs=0.01)
    assert shed(monitor) == refused


async def test_a_timer_that_fires_in_time_is_no_lag() -> None:
    """An idle process refuses nothing, however long it runs."""
    time = Timeline()
    monitor = a_monitor(time)
    await time.advance(60.0)
    assert (monitor.lag_s, shed(monitor)) == (0.0, [])


async def test_one_hiccup_is_averaged_over_about_a_second() -> None:
    """A quarter of a second lost once is no overload; lost again and again for a second it is one."""
    time = Timeline()
    monitor = a_monitor(time)
    await late(time, 0.4, times=1)
    assert shed(monitor) == []
    await late(time, 0.4, times=2)
    assert shed(monitor) == [Priority.EVALUATION]


async def test_work_is_taken_on_again_at_half_of_the_lag() -> None:
    """What was refused from 0.5 s stays refused down to 0.25 s, so that a load near the threshold does not flap."""
    time = Timeline()
    monitor = a_monitor(time)
    await late(time, 0.6)
    await late(time, 0.3)
    assert shed(monitor) == [Priority.EVALUATION, Priority.BACKGROUND]
    await late(time, 0.2)
    assert shed(monitor) == [Priority.EVALUATION]
    await late(time, 0.1)
    assert shed(monitor) == []


async def test_a_refusal_says_when_to_come_back() -> None:
    """Overloaded, 503, with whole seconds that are not less than the lag."""
    time = Timeline()
    monitor = a_monitor(time)
    await late(time, 2.5)
    monitor.admit(Priority.RESUME)
    with pytest.raises(Overloaded) as refusal:
        monitor.admit(Priority.NEW_TURN)
    assert refusal.value.retry_after_s == 3.0


async def test_memory_is_refused_to_the_least_important_first() -> None:
    """At 92 % evaluation and background work, at 95 % new turns, never a resume; taken on again two per cent lower."""
    time, memory = Timeline(), Memory()
    monitor = a_monitor(time, memory)
    seen = []
    for memory.share in (0.91, 0.92, 0.949, 0.95, 1.1, 0.94, 0.929, 0.91, 0.899):
        await time.advance(0.25)
        seen.append(len(shed(monitor)))
    assert seen == [0, 2, 2, 3, 3, 3, 2, 2, 0]


async def test_lag_and_memory_recover_each_by_its_own() -> None:
    """What is refused for its memory is not held to the lower lag as well once there is memory again."""
    time, memory = Timeline(), Memory()
    monitor = a_monitor(time, memory)
    memory.share = 0.96
    await late(time, 0.2)
    assert Priority.NEW_TURN in shed(monitor)
    memory.share = 0.5
    await late(time, 0.2, times=1)
    assert shed(monitor) == []


async def test_memory_that_ran_short_during_a_lag_is_remembered() -> None:
    """When the lag is over, the memory has to recover too."""
    time, memory = Timeline(), Memory()
    monitor = a_monitor(time, memory)
    memory.share = 0.96
    await late(time, 3.0)
    memory.share = 0.94
    await late(time, 0.0)
    assert Priority.NEW_TURN in shed(monitor)


async def test_memory_that_cannot_be_read_does_not_end_the_looking() -> None:
    """The next look comes all the same."""
    time, memory = Timeline(), Memory()
    monitor = a_monitor(time, memory)
    memory.broken = True
    with pytest.raises(OSError, match="too many open files"):
        await time.advance(0.25)
    memory.broken, memory.share = False, 0.93
    await time.advance(0.25)
    assert monitor.sheds(Priority.BACKGROUND)


async def test_what_is_refused_is_logged_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins and one when it ends, with the lag."""
    caplog.set_level(logging.WARNING, "services.resilience.overload")
    time = Timeline()
    a_monitor(time)
    await late(time, 0.4)
    await late(time, 0.0)
    assert [record.message.split(":")[0] for record in caplog.records] == ["refusing evaluation", "refusing nothing"]


async def test_it_looks_only_between_start_and_stop() -> None:
    """Starting twice is one timer; stopping leaves none, and it can be started again."""
    time = Timeline()
    monitor = a_monitor(time)
    monitor.start()
    assert time.pending == 1
    monitor.stop()
    monitor.stop()
    assert time.pending == 0
    time.stall(100.0)
    monitor.start()
    await time.advance(0.25)
    assert (time.pending, monitor.lag_s) == (1, 0.0)


def test_callers_are_told_to_come_back_at_different_times() -> None:
    """Over three seconds from when there may be room again, at least one second from now, in whole seconds."""
    drawn = iter((0.0, 0.34, 0.99))
    assert [come_back_s(0.0, lambda: next(drawn)) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert come_back_s(2.1, lambda: 0.0) == 3.0


@pytest.mark.parametrize("policy", [{"interval_s": 0.0}, {"lag_recovery": 1.5}])
def test_numbers_that_cannot_work_are_refused(policy: dict[str, float]) -> None:
    """A threshold that could never be fallen below again is refused by its key."""
    with pytest.raises(ConfigurationError, match=r"load\."):
        LoadPolicy(**policy)
