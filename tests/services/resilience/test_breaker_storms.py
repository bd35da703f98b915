"""The breaker in traffic: how many calls an outage costs, what disconnects do, how soon all is as before."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from services.resilience.breaker import Breaker, BreakerOpen, BreakerState, Permit
from tests.services.resilience.breakers import HEALTHY_S, Heard, a_breaker, half_opened, succeed, trip, wait_until_due
from tests.services.runs.fakes import FakeClock

TICK_S = 0.1
"""Between two calls: 10 rps."""


@dataclass
class Upstream:
    """What becomes of each call, and when, is up to the test; it counts the calls that reach it."""

    clock: FakeClock
    breaker: Breaker
    reached: int = 0
    _due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def call(self, act: Callable[[Permit], None], after_s: float) -> bool:
        """Ask the breaker; if it lets the call in, have `act` happen to it after a time. Returns whether it was let in."""
        try:
            permit = self.breaker.admit()
        except BreakerOpen:
            return False
        self.reached += 1

        def end() -> None:
            act(permit)
            permit.release()

        self._due.append((self.clock.now + after_s, end))
        return True

    def tick(self) -> None:
        """Let a tick pass, and what is due happen."""
        self.clock.now += TICK_S
        due = [act for at, act in self._due if at <= self.clock.now]
        self._due = [(at, act) for at, act in self._due if at > self.clock.now]
        for act in due:
            act()


def answers(permit: Permit) -> None:
    permit.alive(HEALTHY_S)


def fails(permit: Permit) -> None:
    permit.failed()


async def test_half_open_lets_three_of_fifty_through() -> None:
    """Fifty tasks that come at once while it is half-open: at most three reach the upstream."""
    clock = FakeClock()
    breaker = a_breaker(clock)
    trip(breaker)
    wait_until_due(breaker, clock)
    healed, reached, refused = asyncio.Event(), 0, 0

    async def call() -> None:
        nonlocal reached, refused
        try:
            with breaker.admit() as permit:
                reached += 1
                await healed.wait()
                permit.alive(HEALTHY_S)
        except BreakerOpen:
            refused += 1

    tasks = [asyncio.create_task(call()) for _ in range(50)]
    while reached + refused < 50:  # noqa: ASYNC110  # one turn of the loop lets every task begin
        await asyncio.sleep(0)
    assert (reached, refused) == (3, 47)
    healed.set()
    await asyncio.gather(*tasks)
    assert breaker.state is BreakerState.CLOSED


def test_an_outage_is_found_within_ten_calls() -> None:
    """Everything fails at 10 rps: it opens before the eleventh call, and before a second has passed."""
    clock = FakeClock()
    upstream = Upstream(clock, breaker := a_breaker(clock))
    succeed(breaker, 100)
    while breaker.state is BreakerState.CLOSED:
        upstream.call(fails, after_s=0.05)
        upstream.tick()
    assert upstream.reached <= 10
    assert clock.now <= 101.0


def test_an_outage_under_way_costs_few_calls() -> None:
    """Five minutes of it: after it has opened only probes reach the upstream, each of which fails."""
    clock = FakeClock()
    upstream = Upstream(clock, a_breaker(clock))
    for _ in range(3_000):
        upstream.call(fails, after_s=0.05)
        upstream.tick()
    assert upstream.reached <= 5 + 300 / 8 + 3


def test_a_stall_is_found_a_second_after_it_is_slow() -> None:
    """Nothing answers at 10 rps: it opens with the tenth call that is late, long before one of them fails."""
    clock = FakeClock()
    upstream = Upstream(clock, breaker := a_breaker(clock))
    while breaker.state is BreakerState.CLOSED:
        upstream.call(Permit.late, after_s=breaker.slow_after_s)
        upstream.tick()
    assert clock.now == pytest.approx(100.0 + 5.0 + 1.0, abs=2 * TICK_S)


@pytest.mark.parametrize("first_success", range(5))
def test_four_failures_to_one_success_open_it_within_ten_calls(first_success: int) -> None:
    """The pattern that no count of failures in a row ever finds, wherever in it one begins to look."""
    breaker = a_breaker(FakeClock())
    calls = 0
    while breaker.state is BreakerState.CLOSED:
        with breaker.admit() as permit:
            if calls % 5 == first_success:
                permit.alive(HEALTHY_S)
            else:
                permit.failed()
        calls += 1
    assert calls <= 10


@pytest.mark.parametrize("state", ["closed", "half-open"])
async def test_a_thousand_disconnects_are_no_failure(state: str) -> None:
    """Each of them sees its own CancelledError, and the breaker is as it was."""
    clock, heard = FakeClock(), Heard()
    breaker = (a_breaker if state == "closed" else half_opened)(clock, heard)
    before, told = breaker.snapshot(), len(heard.changes)
    cancelled = 0

    async def call(begun: asyncio.Event) -> None:
        nonlocal cancelled
        try:
            with breaker.admit():
                begun.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise

    async def hang_up(calls: int) -> None:
        begun = [asyncio.Event() for _ in range(calls)]
        tasks = [asyncio.create_task(call(event)) for event in begun]
        await asyncio.gather(*(event.wait() for event in begun))
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)

    if state == "closed":
        await hang_up(1_000)
    else:
        for _ in range(500):
            await hang_up(2)
    assert cancelled == 1_000
    assert breaker.snapshot() == before
    assert len(heard.changes) == told


def test_stale_failures_never_trip_it_again() -> None:
    """A thousand calls of before the outage fail after it, one by one: nothing happens."""
    clock, heard = FakeClock(), Heard()
    breaker = a_breaker(clock, heard)
    stale = [breaker.admit() for _ in range(1_000)]
    trip(breaker)
    wait_until_due(breaker, clock)
    for permit in stale[:300]:
        permit.failed()
    succeed(breaker, 3)
    for permit in stale[300:]:
        permit.failed()
        permit.release()
    assert heard.states == ["open", "half-open", "closed"]
    assert breaker.snapshot().failure_rate == 0.0


HEALS = [10.0 + 1.3 * step for step in range(25)]
"""Moments spread over everything that a breaker does in an outage."""


def back_after_s(breaker: Breaker, clock: FakeClock, act: Callable[[Permit], None], ill_for_s: float) -> float:
    """Run 10 rps through an outage of so many seconds. Returns how long after its end the last call was turned away."""
    upstream = Upstream(clock, breaker)
    healed_at = clock.now + ill_for_s
    last_refusal = clock.now
    while clock.now < healed_at + 60.0:
        if clock.now < healed_at:
            let_in = upstream.call(act, after_s=5.0 if act is Permit.late else 0.05)
        else:
            let_in = upstream.call(answers, after_s=HEALTHY_S)
        if not let_in:
            last_refusal = clock.now
        upstream.tick()
    assert breaker.state is BreakerState.CLOSED
    return last_refusal + TICK_S - healed_at


@pytest.mark.parametrize("act", [fails, Permit.late], ids=["failing", "stalling"])
@pytest.mark.parametrize("dice", [0.0, 0.5, 0.999999])
def test_all_traffic_is_back_within_twenty_seconds(act: Callable[[Permit], None], dice: float) -> None:
    """Whenever the upstream heals, after an outage of failures or of calls that hang, at the worst of the jitter."""
    for ill_for_s in HEALS:
        clock = FakeClock()
        breaker = Breaker("main/m", clock=clock, random=lambda: dice)
        assert 0.0 < back_after_s(breaker, clock, act, ill_for_s) <= 20.0
