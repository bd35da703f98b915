"""Plans as operators write them, and where it is counted what was taken."""

import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from configs.quotas import AllowanceSettings, LimitSettings, PlanSettings, PlansSettings, per_window
from configs.settings import Settings, merge
from services.errors import ConfigurationError
from services.limits.in_redis import RedisRates, RedisSlots, open_redis
from services.limits.plans import Allowance, Plan, Plans, RouteClass
from services.limits.quota import Quota
from services.limits.stores import RateStore, SlotStore
from services.storage.database import Database
from services.storage.rates import RateRepository
from services.storage.slots import SlotRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaStores:
    """Where a replica's quotas are counted. Close it.

    `prune` forgets what is full again, and returns how much of what: Redis does that by itself.
    """

    rates: RateStore
    slots: SlotStore
    prune: Callable[[], Coroutine[Any, Any, Mapping[str, int]]]
    aclose: Callable[[], Awaitable[None]]


def open_quota_stores(settings: Settings, deployment: str) -> QuotaStores:
    """Open the stores without connecting: a pool of their own, so that a slow event log keeps no limit waiting."""
    limits = settings.limits
    if limits.redis_url is not None:
        redis = open_redis(limits.redis_url.resolve(os.environ), timeout_s=limits.timeout_s)
        return QuotaStores(rates=RedisRates(redis), slots=RedisSlots(redis), prune=_nothing, aclose=redis.aclose)
    database = Database.open(
        settings.database.url.resolve(os.environ),
        pool_size=limits.pool_size,
        pool_timeout_s=limits.timeout_s,
        command_timeout_s=2 * limits.timeout_s,
        statement_timeout_s=limits.timeout_s,
        application_name=f"mainstay-{deployment}-limits",
    )
    rates, slots = RateRepository(database), SlotRepository(database)

    async def prune() -> Mapping[str, int]:
        return {"rate_buckets": await rates.prune(), "slots": await slots.prune()}

    return QuotaStores(rates=rates, slots=slots, prune=prune, aclose=database.close)


async def _nothing() -> Mapping[str, int]:
    return {}


def plans_of(settings: PlansSettings) -> Plans:
    named = {name: _plan(plan) for name, plan in settings.plans.items()}
    return Plans(
        default=named[settings.default_plan], tenants={tenant: named[name] for tenant, name in settings.tenants.items()}
    )


class HasPlans(Protocol):
    plans: Plans


class LivePlans:
    """The plans of a replica: those of the settings under what `user_config` says."""

    def __init__(self, configured: LimitSettings, user: HasPlans) -> None:
        self._configured = configured.model_dump(include=set(PlansSettings.model_fields))
        self._user = user

    def laid_over(self, changed: Mapping[str, Any]) -> Plans:
        """Return the plans with `changed` laid over them. Raises ConfigurationError, naming the key."""
        try:
            return plans_of(PlansSettings.model_validate(merge(self._configured, changed)))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, ("limits", *first["loc"])))
            raise ConfigurationError(f"user_config: {key}: {first['msg']}.", param=key) from None

    def configure(self, plans: Plans) -> None:
        self._user.plans = plans


def _plan(settings: PlanSettings) -> Plan:
    return Plan(user=_allowance(settings.user), tenant=_allowance(settings.tenant))


def _allowance(settings: AllowanceSettings) -> Allowance:
    rates = {route: getattr(settings, route) for route in RouteClass}
    return Allowance(
        requests={route: _quota(rate) for route, rate in rates.items() if rate is not None},
        tokens=None if settings.tokens is None else _quota(settings.tokens),
        concurrent_runs=settings.concurrent_runs,
    )


def _quota(rate: str) -> Quota:
    limit, window_s = per_window(rate)
    return Quota(limit=limit, window_s=window_s)
