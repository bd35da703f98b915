"""What runs owe when they have ended, and their places."""

import asyncio
from dataclasses import replace

import pytest

from services.limits.limiter import RENEW_EVERY_S
from services.limits.plans import Allowance, Plan, Plans, run_slots, token_limits
from services.limits.quota import Quota
from services.limits.settling import FLUSH_AFTER_S, MAX_PENDING, RETRY_AFTER_S, RunSettling
from services.limits.stores import SLOT_TTL_S, Slots
from services.runs.engine import RunTimes
from services.types import Run, Usage
from tests.services.limits.conftest import Clock, acquire, take
from tests.services.limits.test_limiter import ADA, Away
from tests.services.storage.conftest import ANSWERED, a_run

QUOTA = Quota(limit=10_000, window_s=10_000.0)
PLANS = Plans(default=Plan(user=Allowance(tokens=QUOTA)))
TIMES = RunTimes(duration_s=1.0, first_text_s=None)
SLOT = Slots(key=b"alice", limit=1)


class Naps:
    """Sleep that is over when the test says so, and the seconds that were asked for."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self.go = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.put_nowait(seconds)
        await self.go.wait()
        self.go.clear()


@pytest.fixture
def store(clock: Clock) -> Away:
    return Away(clock)


def settling_of(store: Away, naps: Naps | None = None) -> RunSettling:
    return RunSettling(store=store, plans=PLANS, expected_output_tokens=500, sleep=naps or Naps())


def taken(store: Away) -> float:
    """How many tokens are gone from the user's bucket."""
    [limit] = token_limits(PLANS.default, ADA, 0.0)
    return store.rates.read([limit.charge]).readings[0].taken_s


def used(tokens: int) -> Usage:
    return Usage(input_tokens=tokens - 1, output_tokens=1)


async def test_a_run_is_charged_what_it_used_and_not_what_was_expected(store: Away) -> None:
    """Two runs of one user in one statement: 500 were expected of each, 2,000 and 100 were used."""
    await store.quotas.settle([limit.charge for limit in token_limits(PLANS.default, ADA, 1_000.0)])
    settling = settling_of(store)
    for tokens in (2_000, 100):
        settling.run_ended(a_run(""), replace(ANSWERED, usage=used(tokens)), TIMES)
    assert await settling.settle()
    assert taken(store) == pytest.approx(2_100)
    assert store.asked == 2


async def test_a_prompt_beyond_the_quota_is_charged_in_full_in_the_end(store: Away) -> None:
    """It was let in for all of the quota, and owes the rest."""
    settling, run = settling_of(store), a_run("x" * 80_000)
    await take(store.quotas, [limit.charge for limit in token_limits(PLANS.default, ADA, 20_500.0)])
    settling.run_ended(run, replace(ANSWERED, usage=used(21_000)), TIMES)
    await settling.settle()
    assert taken(store) == pytest.approx(21_000)


async def test_what_is_not_foreseen_ends_neither_settling_nor_renewing(
    store: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody awaits these tasks: an error that ended them would go unseen."""
    naps = Naps()
    settling = settling_of(store, naps)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(store, "release", broken)
    monkeypatch.setattr(store, "renew", broken)
    tasks = [
        asyncio.create_task(settling.settle_forever()),
        asyncio.create_task(settling.renew_forever(lambda: [a_run()])),
    ]
    settling.run_ended(a_run(""), replace(ANSWERED, usage=used(700)), TIMES)
    asked = [await naps.asked.get() for _ in range(2)]
    naps.go.set()
    asked += [await naps.asked.get() for _ in range(2)]
    assert sorted(asked) == [FLUSH_AFTER_S, RETRY_AFTER_S, RENEW_EVERY_S, RENEW_EVERY_S]
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()


async def test_a_place_is_free_when_its_run_has_ended(store: Away) -> None:
    settling, run = settling_of(store), a_run()
    await acquire(store.quotas, run.id, [SLOT])
    settling.run_ended(run, ANSWERED, TIMES)
    await settling.settle()
    assert await acquire(store.quotas, a_run().id, [SLOT]) is None


async def test_what_a_store_that_is_away_does_not_take_is_settled_later(store: Away) -> None:
    settling, run = settling_of(store), a_run("")
    await acquire(store.quotas, run.id, [SLOT])
    store.away = True
    settling.run_ended(run, replace(ANSWERED, usage=used(700)), TIMES)
    assert not await settling.settle()
    settling.run_ended(a_run(""), replace(ANSWERED, usage=used(600)), TIMES)
    store.away = False
    assert await settling.settle()
    assert taken(store) == pytest.approx(200 + 100)
    assert await acquire(store.quotas, a_run().id, [SLOT]) is None


async def test_a_store_that_stays_away_costs_bounded_memory(store: Away) -> None:
    """What is let go of is the oldest: its place comes free by itself, and its tokens stay as they were expected."""
    settling = settling_of(store)
    store.away = True
    oldest, newest = a_run(), a_run()
    settling.run_ended(oldest, ANSWERED, TIMES)
    for _ in range(MAX_PENDING - 1):
        settling.run_ended(a_run(), ANSWERED, TIMES)
    settling.run_ended(newest, ANSWERED, TIMES)
    await settling.settle()
    for run in (oldest, newest):
        await acquire(store.quotas, run.id, [Slots(key=run.id.bytes, limit=1)])
    store.away = False
    await settling.settle()
    assert await acquire(store.quotas, a_run().id, [Slots(key=oldest.id.bytes, limit=1)]) is not None
    assert await acquire(store.quotas, a_run().id, [Slots(key=newest.id.bytes, limit=1)]) is None


async def test_ends_are_settled_together_a_little_later_and_tried_again(store: Away) -> None:
    naps = Naps()
    settling = settling_of(store, naps)
    task = asyncio.create_task(settling.settle_forever())
    store.away = True
    settling.run_ended(a_run(""), replace(ANSWERED, usage=used(700)), TIMES)
    assert await naps.asked.get() == FLUSH_AFTER_S
    settling.run_ended(a_run(""), replace(ANSWERED, usage=used(700)), TIMES)
    naps.go.set()
    assert await naps.asked.get() == RETRY_AFTER_S
    store.away = False
    naps.go.set()
    assert await naps.asked.get() == FLUSH_AFTER_S
    naps.go.set()
    await store.settled.wait()
    assert taken(store) == pytest.approx(400)
    task.cancel()


async def test_the_places_of_runs_at_work_are_held(store: Away, clock: Clock) -> None:
    naps = Naps()
    settling, run = settling_of(store, naps), a_run()
    await acquire(store.quotas, run.id, [SLOT])
    held: list[Run] = [run]
    task = asyncio.create_task(settling.renew_forever(lambda: held))
    for _ in range(4):
        assert await naps.asked.get() == RENEW_EVERY_S
        clock.now += RENEW_EVERY_S
        naps.go.set()
    assert await naps.asked.get() == RENEW_EVERY_S
    assert await acquire(store.quotas, a_run().id, [SLOT]) == SLOT
    store.away = True
    naps.go.set()
    assert await naps.asked.get() == RENEW_EVERY_S
    task.cancel()


async def test_a_run_that_holds_no_place_gets_one_whatever_the_limit(store: Away) -> None:
    """A turn that has waited for its thread, or was lost for too long: others wait for it then. One in the background not."""
    naps = Naps()
    settling = settling_of(store, naps)
    settling.plans = Plans(default=Plan(user=Allowance(concurrent_runs=1)))
    [(_, slot)] = run_slots(settling.plans.default, ADA)
    await acquire(store.quotas, a_run().id, [slot])
    at_work = [a_run(), a_run(background=True)]
    task = asyncio.create_task(settling.renew_forever(lambda: at_work))
    for _ in range(2):
        await naps.asked.get()
        naps.go.set()
    await naps.asked.get()
    assert set(await store.quotas.renew([run.id for run in at_work], SLOT_TTL_S)) == {at_work[0].id}
    assert await acquire(store.quotas, a_run().id, [replace(slot, limit=2)]) is not None
    task.cancel()
