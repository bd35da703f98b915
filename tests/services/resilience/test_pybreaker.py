"""Why pybreaker carries the names only: thirteen things that its 1.4.1 does round an await, and that a breaker here does not.

Each test shows the one beside the other. When an upgrade makes the first half of a test fail, upstream has mended that
defect: take the first half out, and keep the second.
"""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pybreaker
import pytest

from services.resilience.breaker import Breaker, BreakerSnapshot, BreakerState, Reason
from tests.services.resilience.breakers import (
    HEALTHY_S,
    a_breaker,
    admitted,
    fail,
    half_opened,
    no_jitter,
    succeed,
    trip,
)
from tests.services.runs.fakes import FakeClock


class UpstreamDown(Exception):
    pass


def raises() -> None:
    raise UpstreamDown


async def failing_call() -> None:
    await asyncio.sleep(0)
    raise UpstreamDown


async def failing_stream() -> AsyncIterator[str]:
    await asyncio.sleep(0)
    yield "first"
    raise UpstreamDown


async def test_d1_a_failing_await_is_a_failure() -> None:
    """pybreaker sees a coroutine object come back and counts a success; here the verdict is given after the await."""
    theirs = pybreaker.CircuitBreaker(fail_max=3)
    for _ in range(10):
        with pytest.raises(UpstreamDown):
            await theirs.call(failing_call)
    assert (theirs.current_state, theirs.fail_counter) == ("closed", 0)

    ours = a_breaker(FakeClock())
    for permit in admitted(ours, 5):
        with permit:
            try:
                await failing_call()
            except UpstreamDown:
                permit.failed()
    assert ours.state is BreakerState.OPEN


async def test_d2_a_breaking_stream_is_a_failure() -> None:
    """pybreaker sees an async generator come back; here a stream that breaks after its first piece has a rate of its own."""
    theirs = pybreaker.CircuitBreaker(fail_max=3)
    for _ in range(10):
        with pytest.raises(UpstreamDown):
            async for _ in theirs.call(failing_stream):
                pass
    assert (theirs.current_state, theirs.fail_counter) == ("closed", 0)

    ours = a_breaker(FakeClock())
    for permit in admitted(ours, 10):
        try:
            async for _ in failing_stream():
                permit.alive(HEALTHY_S)
        except UpstreamDown:
            permit.failed()
    assert ours.snapshot().reason is Reason.BROKEN_RATE


async def test_d3_nothing_but_asyncio_is_needed() -> None:
    """pybreaker's async call is Tornado's, and without Tornado a NameError; here nothing is imported for it."""
    if not pybreaker.HAS_TORNADO_SUPPORT:
        with pytest.raises(NameError, match="gen"):
            pybreaker.CircuitBreaker().call_async(failing_call)  # type: ignore[no-untyped-call]

    with a_breaker(FakeClock()).admit() as permit:
        await asyncio.sleep(0)
        permit.alive(HEALTHY_S)


async def test_d4_half_open_is_capped() -> None:
    """Through pybreaker's half-open all of fifty concurrent calls reach the upstream; here three do."""
    gate = asyncio.Event()
    theirs = pybreaker.CircuitBreaker(fail_max=1)
    theirs.half_open()
    reached = 0

    async def through_theirs() -> None:
        nonlocal reached
        with theirs.calling():
            reached += 1
            await gate.wait()

    tasks = [asyncio.create_task(through_theirs()) for _ in range(50)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert reached == 50
    gate.set()
    await asyncio.gather(*tasks)

    assert len(admitted(half_opened(FakeClock()), 50)) == 3


async def test_d5_a_cancellation_is_no_failure_and_is_not_swallowed() -> None:
    """Three clients that hang up open pybreaker, and the third gets another error instead; here they are not counted."""
    theirs, ours = pybreaker.CircuitBreaker(fail_max=3), a_breaker(FakeClock())

    async def through_theirs() -> None:
        with theirs.calling():
            await asyncio.Event().wait()

    async def through_ours() -> None:
        with ours.admit():
            await asyncio.Event().wait()

    async def hung_up(task: asyncio.Task[None]) -> BaseException:
        await asyncio.sleep(0)
        task.cancel()
        [error] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(error, BaseException)
        return error

    errors = [await hung_up(asyncio.create_task(through_theirs())) for _ in range(3)]
    assert theirs.current_state == "open"
    assert isinstance(errors[2], pybreaker.CircuitBreakerError)

    errors = [await hung_up(asyncio.create_task(through_ours())) for _ in range(10)]
    assert ours.state is BreakerState.CLOSED
    assert all(isinstance(error, asyncio.CancelledError) for error in errors)


async def test_d6_failures_of_before_the_outage_do_not_trip_it_again() -> None:
    """Calls that began before pybreaker opened open it again after it recovered; here they are of an older generation."""
    gate = asyncio.Event()
    theirs = pybreaker.CircuitBreaker(fail_max=3)

    async def stale() -> None:
        with theirs.calling():
            await gate.wait()
            raise UpstreamDown

    tasks = [asyncio.create_task(stale()) for _ in range(3)]
    await asyncio.sleep(0)
    theirs.open()
    theirs.half_open()
    theirs.close()
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert theirs.current_state == "open"

    clock = FakeClock()
    ours = a_breaker(clock)
    old = admitted(ours, 10)
    trip(ours)
    clock.now += 2.0
    succeed(ours, 3)
    for permit in old:
        permit.failed()
    assert ours.state is BreakerState.CLOSED


def test_d7_one_success_in_five_does_not_hide_an_outage() -> None:
    """pybreaker counts failures in a row only, and lets 800 of 1,000 fail; here the failure rate opens it in ten calls."""
    theirs = pybreaker.CircuitBreaker(fail_max=5)
    for _ in range(200):
        for _ in range(4):
            with pytest.raises(UpstreamDown):
                theirs.call(raises)
        theirs.call(lambda: None)
    assert theirs.current_state == "closed"

    ours = a_breaker(FakeClock())
    for _ in range(2):
        fail(ours, 4)
        succeed(ours)
    assert ours.state is BreakerState.OPEN


def test_d8_what_is_not_counted_is_not_a_success() -> None:
    """An excluded exception ends pybreaker's row of failures and closes its half-open; here it is neutral."""
    theirs = pybreaker.CircuitBreaker(fail_max=2, exclude=[ValueError])

    def refused_for_its_own_fault() -> None:
        raise ValueError

    with pytest.raises(UpstreamDown):
        theirs.call(raises)
    with pytest.raises(ValueError):
        theirs.call(refused_for_its_own_fault)
    assert theirs.fail_counter == 0
    theirs.half_open()
    with pytest.raises(ValueError):
        theirs.call(refused_for_its_own_fault)
    assert theirs.current_state == "closed"

    ours = a_breaker(FakeClock())
    fail(ours, 4)
    ours.admit().release()
    fail(ours)
    assert ours.state is BreakerState.OPEN
    probed = half_opened(FakeClock())
    for _ in range(10):
        probed.admit().release()
    assert probed.state is BreakerState.HALF_OPEN


@pytest.mark.parametrize("jump_h", [-1, 1])
def test_d9_the_wall_clock_has_no_say(monkeypatch: pytest.MonkeyPatch, jump_h: int) -> None:
    """Set back by an hour, the wall clock keeps pybreaker open for an hour, set forward it ends the wait; ours is monotonic."""

    class Wall(datetime):
        jumped = timedelta()

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + cls.jumped

    monkeypatch.setattr(pybreaker, "datetime", Wall)
    clock = FakeClock()
    theirs, ours = pybreaker.CircuitBreaker(reset_timeout=60.0), a_breaker(clock)
    theirs.open()
    trip(ours)
    if jump_h > 0:
        Wall.jumped = timedelta(hours=jump_h)
        theirs.call(lambda: None)
        assert theirs.current_state == "closed"
    else:
        Wall.jumped = timedelta(hours=jump_h, seconds=120)  # two minutes later, that is
        with pytest.raises(pybreaker.CircuitBreakerError):
            theirs.call(lambda: None)

    assert ours.retry_after_s == pytest.approx(2.0)
    clock.now += 1.99
    assert admitted(ours, 1) == []
    clock.now += 0.01
    succeed(ours, 3)
    assert (ours.state, ours.mirror.current_state) == ("closed", "closed")


def test_d10_a_call_holds_no_lock() -> None:
    """While one call goes through pybreaker no other thread's can; here a call that is out is in nobody's way."""
    theirs = pybreaker.CircuitBreaker()
    got_lock: list[bool] = []

    def while_it_runs() -> None:
        other = threading.Thread(target=lambda: got_lock.append(theirs._lock.acquire(blocking=False)))
        other.start()
        other.join()

    theirs.call(while_it_runs)
    assert got_lock == [False]

    ours = a_breaker(FakeClock())
    with ours.admit(), ours.admit() as second:
        other = threading.Thread(target=succeed, args=(ours,))
        other.start()
        other.join()
        second.alive(HEALTHY_S)
    assert ours.snapshot().calls == 2


def test_d11_a_listener_that_raises_prevents_nothing() -> None:
    """A raising listener keeps pybreaker closed through any number of failures; here it is logged."""

    class TheirListener(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: object, old_state: object, new_state: object) -> None:
            raise ZeroDivisionError

    class OurListener:
        def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
            raise ZeroDivisionError

    theirs = pybreaker.CircuitBreaker(fail_max=1, listeners=[TheirListener()])
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            theirs.call(raises)
    assert theirs.current_state == "closed"

    ours = a_breaker(FakeClock(), OurListener())
    trip(ours)
    assert ours.mirror.current_state == "open"


def test_d12_slowness_time_and_what_the_upstream_says_count() -> None:
    """pybreaker has one count and one fixed time; here slow calls open it, times grow and vary, and half-open ends."""
    knobs = set(inspect.signature(pybreaker.CircuitBreaker).parameters)
    assert knobs == {
        "fail_max",
        "reset_timeout",
        "success_threshold",
        "exclude",
        "listeners",
        "state_storage",
        "name",
        "throw_new_error_on_trip",
    }

    clock = FakeClock()
    slow = a_breaker(clock)
    succeed(slow, 10, latency_s=60.0, alternative=True)
    assert slow.snapshot().reason is Reason.SLOW_RATE
    clock.now += 2.0
    fail(slow, retry_after_s=90.0)
    assert slow.retry_after_s == pytest.approx(90.0)
    clock.now += 90.0
    lost = slow.admit()
    clock.now += 30.0
    assert slow.snapshot().reason is Reason.PROBES_UNDECIDED
    lost.release()
    opened = [Breaker("main/m", clock=clock, random=dice) for dice in (lambda: 0.0, no_jitter)]
    for breaker in opened:
        trip(breaker)
    assert opened[0].retry_after_s != opened[1].retry_after_s


def test_d13_nothing_is_stored_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its Redis away, pybreaker's open circuit reads as closed and without failures; ours is in this process's memory."""

    class Gone(Exception):
        pass

    class Redis:
        values: dict[str, object]
        away = False

        def __init__(self) -> None:
            self.values = {}

        def setnx(self, key: str, value: object) -> None:
            self.values.setdefault(key, value)

        def get(self, key: str) -> bytes:
            if self.away:
                raise Gone
            return str(self.values[key]).encode()

    monkeypatch.setattr(pybreaker, "HAS_REDIS_SUPPORT", True)
    monkeypatch.setattr(pybreaker, "RedisError", Gone, raising=False)
    redis = Redis()
    theirs = pybreaker.CircuitBreaker(state_storage=pybreaker.CircuitRedisStorage("open", redis))
    redis.values["fail_counter"] = redis.values["pybreaker:fail_counter"] = 7
    assert (theirs.current_state, theirs.fail_counter) == ("open", 7)
    redis.away = True
    assert (theirs.current_state, theirs.fail_counter) == ("closed", 0)

    carrier = a_breaker(FakeClock()).mirror._carrier
    assert isinstance(carrier._state_storage, pybreaker.CircuitMemoryStorage)


def test_pybreaker_cannot_open_by_itself() -> None:
    """What carries our states has a threshold that no count reaches, and nobody gives it a call to count."""
    ours = a_breaker(FakeClock())
    succeed(ours, 3)
    fail(ours, 4)
    carrier = ours.mirror._carrier
    assert carrier.fail_max > 2**30
    assert (carrier.fail_counter, carrier.success_counter) == (0, 0)
