"""What an ingress replica holds its callers to, and what it does while the store is away."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest

from services.errors import ConcurrencyLimitExceeded, RateLimitExceeded, StoreUnavailable
from services.limits.in_memory import MemoryQuotas, MemoryRates
from services.limits.limiter import Limiter, LimiterPolicy, expected_tokens
from services.limits.plans import Allowance, Plan, Plans, RouteClass
from services.limits.quota import Charge, Quota
from services.limits.stores import SLOT_TTL_S, Admitted
from services.telemetry.metrics import LIMIT_ADMISSIONS, LIMIT_REFUSALS, Metric
from services.types import Message, ModelOptions, Principal, Run
from tests.services.limits.conftest import Clock
from tests.services.storage.conftest import a_run

ADA = Principal(tenant_id="acme", user_id="alice")
EVE = Principal(tenant_id="acme", user_id="eve")
ROUTE = RouteClass.READS


class Away:
    """A store that can be away, and counts what it is asked."""

    def __init__(self, clock: Clock) -> None:
        self.quotas = MemoryQuotas(clock)
        self.away = False
        self.asked = 0
        self.settled = asyncio.Event()

    def _asked(self) -> None:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("The database cannot be reached.")

    @property
    def rates(self) -> MemoryRates:
        return self.quotas.rates

    async def admit(self, **asked: Any) -> Admitted:
        self._asked()
        return await self.quotas.admit(**asked)

    async def settle(self, charges: Sequence[Charge]) -> None:
        self._asked()
        await self.quotas.settle(charges)
        self.settled.set()

    async def renew(self, holders: Collection[UUID], ttl_s: float) -> Collection[UUID]:
        self._asked()
        return await self.quotas.renew(holders, ttl_s)

    async def release(self, holders: Collection[UUID]) -> None:
        self._asked()
        await self.quotas.release(holders)


class Noted:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.refusals: list[Mapping[str, str]] = []
        self.admissions: list[str] = []

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        if metric is LIMIT_ADMISSIONS:
            self.admissions.append(labels["decided_by"])
            return
        assert metric is LIMIT_REFUSALS
        self.refusals.append(labels)


def plan_of(**user: object) -> Plans:
    return Plans(default=Plan(user=Allowance(**user)))  # type: ignore[arg-type]


def requests(limit: int, window_s: float = 60.0) -> Plans:
    return plan_of(requests={ROUTE: Quota(limit=limit, window_s=window_s), RouteClass.RUNS: Quota(limit=limit)})


@pytest.fixture
def store(clock: Clock) -> Away:
    return Away(clock)


@pytest.fixture
def meter() -> Noted:
    return Noted()


def limiter_of(store: Away, clock: Clock, plans: Plans, meter: Noted | None = None) -> Limiter:
    return Limiter(store=store, plans=plans, policy=LimiterPolicy(), clock=clock, meter=meter or Noted())


async def test_two_replicas_give_out_one_quota(store: Away, clock: Clock, meter: Noted) -> None:
    """Neither knows of the other's callers, and the store does."""
    one, other = limiter_of(store, clock, requests(4)), limiter_of(store, clock, requests(4), meter)
    for _ in range(2):
        await one.take_request(ADA, ROUTE)
        await other.take_request(ADA, ROUTE)
    with pytest.raises(RateLimitExceeded, match="The user has used up its 4 requests in 60 seconds") as refused:
        await other.take_request(ADA, ROUTE)
    assert refused.value.retry_after_s == pytest.approx(15.0)
    assert meter.refusals == [{"limit": "user_requests", "decided_by": "shared"}]
    assert meter.admissions == ["shared", "shared"]


async def test_a_flood_is_refused_without_asking_the_store(store: Away, clock: Clock, meter: Noted) -> None:
    """What the replica itself has seen is enough to say no, and never says no to what the store would give."""
    limiter = limiter_of(store, clock, requests(4), meter)
    for _ in range(4):
        limiter.check_flood(ADA, ROUTE)
    for _ in range(1_000):
        with pytest.raises(RateLimitExceeded):
            limiter.check_flood(ADA, ROUTE)
    assert store.asked == 0
    assert meter.refusals[0] == {"limit": "user_requests", "decided_by": "local"}
    limiter.check_flood(EVE, ROUTE)
    limiter.check_flood(ADA, RouteClass.ADMIN)


async def test_a_replica_learns_from_the_store_what_others_have_given_out(store: Away, clock: Clock) -> None:
    limiter = limiter_of(store, clock, requests(4))
    other = limiter_of(store, clock, requests(4))
    for _ in range(3):
        await other.take_request(ADA, ROUTE)
    limiter.check_flood(ADA, ROUTE)
    await limiter.take_request(ADA, ROUTE)
    with pytest.raises(RateLimitExceeded):
        limiter.check_flood(ADA, ROUTE)


async def test_whoever_comes_back_when_told_is_let_in(store: Away, clock: Clock) -> None:
    limiter = limiter_of(store, clock, requests(4))
    for _ in range(4):
        limiter.check_flood(ADA, ROUTE)
        await limiter.take_request(ADA, ROUTE)
    for _ in range(50):
        with pytest.raises(RateLimitExceeded) as refused:
            limiter.check_flood(ADA, ROUTE)
        assert refused.value.retry_after_s is not None
        clock.now += refused.value.retry_after_s
        limiter.check_flood(ADA, ROUTE)
        await limiter.take_request(ADA, ROUTE)


async def test_while_the_store_is_away_a_replica_gives_out_its_share(store: Away, clock: Clock, meter: Noted) -> None:
    """An eighth of sixteen, and not all of them, nor none."""
    limiter = limiter_of(store, clock, requests(16), meter)
    store.away = True
    for _ in range(2):
        await limiter.take_request(ADA, ROUTE)
    with pytest.raises(RateLimitExceeded):
        await limiter.take_request(ADA, ROUTE)
    assert meter.refusals == [{"limit": "user_requests", "decided_by": "alone"}]
    store.away = False
    await limiter.take_request(ADA, ROUTE)


async def test_while_the_store_is_away_a_burst_is_a_share_too(store: Away, clock: Clock) -> None:
    limiter = limiter_of(store, clock, plan_of(requests={ROUTE: Quota(limit=80, burst=16)}))
    store.away = True
    for _ in range(2):
        await limiter.take_request(ADA, ROUTE)
    with pytest.raises(RateLimitExceeded, match="80 requests in 60 seconds, at most 16 at once"):
        await limiter.take_request(ADA, ROUTE)


async def test_a_run_holds_its_place_until_it_is_idle(store: Away, clock: Clock, meter: Noted) -> None:
    limiter = limiter_of(store, clock, plan_of(concurrent_runs=1), meter)
    first = a_run()
    await limiter.admit(first)
    with pytest.raises(ConcurrencyLimitExceeded, match="The user has 1 run at work") as refused:
        await limiter.admit(a_run())
    assert refused.value.retry_after_s == 1.0
    assert meter.refusals == [{"limit": "user_concurrent_runs", "decided_by": "shared"}]
    await limiter.idle(first)
    await limiter.admit(a_run())


async def test_a_flood_that_finds_no_place_asks_the_store_once_in_a_while(
    store: Away, clock: Clock, meter: Noted
) -> None:
    """And whoever comes back when told finds the place that has come free meanwhile, by whichever replica."""
    limiter = limiter_of(store, clock, plan_of(concurrent_runs=1), meter)
    await limiter.admit(first := a_run())
    for _ in range(100):
        with pytest.raises(ConcurrencyLimitExceeded) as refused:
            await limiter.admit(a_run())
    assert store.asked == 2
    assert [one["decided_by"] for one in meter.refusals] == ["shared", *["local"] * 99]
    await store.release([first.id])
    assert refused.value.retry_after_s is not None
    clock.now += refused.value.retry_after_s
    await limiter.admit(a_run())


async def test_a_run_that_is_refused_its_rate_holds_no_place(store: Away, clock: Clock) -> None:
    limiter = limiter_of(store, clock, plan_of(concurrent_runs=2, tokens=Quota(limit=600)))
    await limiter.admit(a_run(""))
    with pytest.raises(RateLimitExceeded):
        await limiter.admit(a_run(""))
    clock.now += 60.0
    await limiter.admit(a_run(""))


async def test_a_tenants_places_are_its_users_together(store: Away, clock: Clock) -> None:
    plans = Plans(default=Plan(user=Allowance(concurrent_runs=2), tenant=Allowance(concurrent_runs=2)))
    limiter = limiter_of(store, clock, plans)
    await limiter.admit(a_run())
    await limiter.admit(a_run(principal=EVE))
    with pytest.raises(ConcurrencyLimitExceeded, match="The tenant has 2 runs at work"):
        await limiter.admit(a_run(principal=EVE))
    await limiter.admit(a_run(principal=Principal(tenant_id="other", user_id="eve")))


async def test_a_background_run_takes_no_place(store: Away, clock: Clock) -> None:
    limiter = limiter_of(store, clock, plan_of(concurrent_runs=1))
    for _ in range(3):
        await limiter.admit(a_run(background=True))
    await limiter.admit(a_run())


async def test_while_the_store_is_away_places_are_a_share_and_come_back(
    store: Away, clock: Clock, meter: Noted
) -> None:
    limiter = limiter_of(store, clock, plan_of(concurrent_runs=8), meter)
    store.away = True
    await limiter.admit(a_run())
    with pytest.raises(ConcurrencyLimitExceeded):
        await limiter.admit(a_run())
    assert meter.refusals == [{"limit": "user_concurrent_runs", "decided_by": "alone"}]
    clock.now += SLOT_TTL_S
    await limiter.admit(a_run())


async def test_what_a_replica_refused_alone_the_store_may_give_at_once(store: Away, clock: Clock) -> None:
    """Only the store knows that all places are taken."""
    limiter = limiter_of(store, clock, plan_of(concurrent_runs=8))
    store.away = True
    await limiter.admit(a_run())
    with pytest.raises(ConcurrencyLimitExceeded):
        await limiter.admit(a_run())
    store.away = False
    await limiter.admit(a_run())


async def test_a_run_is_charged_the_tokens_that_it_is_expected_to_need(store: Away, clock: Clock) -> None:
    """Of 1,000 tokens one run takes 400 of text and 512 for its answer, and the next has to wait."""
    limiter = limiter_of(store, clock, plan_of(tokens=Quota(limit=1_000)))
    run = a_run("x" * 1_600)
    await limiter.admit(run)
    with pytest.raises(RateLimitExceeded, match="1000 tokens in 60 seconds"):
        await limiter.admit(a_run("x" * 1_600))
    await limiter.unused(run)
    await limiter.admit(a_run("x" * 1_600))


async def test_no_more_is_given_back_than_was_charged(store: Away, clock: Clock) -> None:
    """A prompt beyond the whole quota is charged all of it: what another run owes stays owed."""
    limiter = limiter_of(store, clock, plan_of(tokens=Quota(limit=1_000, window_s=1_000.0)))
    long = a_run("x" * 40_000)
    await limiter.admit(long)
    [(limit, _)] = [pair for pair in limiter.readings(ADA, RouteClass.RUNS) if pair[0].what == "tokens"]
    await store.settle([Charge(key=limit.charge.key, quota=limit.charge.quota, units=500)])
    await limiter.unused(long)
    assert store.rates.read([limit.charge]).readings[0].taken_s == pytest.approx(500.0)


async def test_other_plans_hold_at_once(store: Away, clock: Clock) -> None:
    limiter = limiter_of(store, clock, requests(1))
    await limiter.take_request(ADA, ROUTE)
    with pytest.raises(RateLimitExceeded):
        await limiter.take_request(ADA, ROUTE)
    limiter.plans = requests(4, window_s=120.0)
    await limiter.take_request(ADA, ROUTE)


async def test_giving_back_to_a_store_that_is_away_harms_nobody(store: Away, clock: Clock) -> None:
    limiter = limiter_of(store, clock, plan_of(concurrent_runs=1, tokens=Quota(limit=1_000)))
    run = a_run()
    await limiter.admit(run)
    store.away = True
    await limiter.unused(run)


@pytest.mark.parametrize(
    ("chars", "asked", "tokens"), [(400, None, 612.0), (0, 100, 100.0), (400, 100, 200.0), (0, 100_000, 512.0)]
)
def test_what_a_run_is_expected_to_need(chars: int, asked: int | None, tokens: float) -> None:
    """A quarter of a token for a character, and one answer, which its client may want shorter, but not longer."""
    run = a_run("x" * chars)
    wanted = Run(
        **{field: getattr(run, field) for field in run.__slots__ if field not in ("options", "messages")},
        messages=(Message(role="user", content="x" * chars),),
        options=ModelOptions(max_output_tokens=asked),
    )
    assert expected_tokens(wanted, 512) == pytest.approx(tokens)
