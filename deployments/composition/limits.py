"""Plans as operators write them, and where it is counted what was taken."""

import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from configs.quotas import (
    AllowanceSettings,
    BudgetSettings,
    LimitSettings,
    PlanSettings,
    PlansSettings,
    PriceListSettings,
    PriceSettings,
    per_window,
)
from configs.settings import Settings, merge
from services.errors import ConfigurationError
from services.limits.budgets import Budget, Budgets
from services.limits.in_redis import RedisQuotas, open_redis
from services.limits.plans import Allowance, Plan, Plans, RouteClass
from services.limits.prices import MICROS, Price, PriceList
from services.limits.quota import Quota
from services.limits.stores import QuotaStore
from services.storage.budgets import BudgetRepository
from services.storage.database import Database
from services.storage.quotas import QuotaRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaStores:
    """Where a replica's quotas are counted. Close it.

    Budgets are always Postgres'. `prune` forgets what is full again, which Redis does by itself, and settles what nobody came
    to settle; it returns how much of what.
    """

    store: QuotaStore
    budgets: BudgetRepository
    prune: Callable[[], Coroutine[Any, Any, Mapping[str, int]]]
    aclose: Callable[[], Awaitable[None]]


def open_quota_stores(settings: Settings, deployment: str) -> QuotaStores:
    """Open the stores without connecting: a pool of their own, so that a slow event log keeps no limit waiting."""
    limits = settings.limits
    abandoned_s = settings.runs.max_run_s + ABANDONED_MARGIN_S
    database = Database.open(
        settings.database.url.resolve(os.environ),
        pool_size=limits.pool_size,
        pool_timeout_s=limits.timeout_s,
        command_timeout_s=2 * limits.timeout_s,
        statement_timeout_s=limits.timeout_s,
        replans=False,  # else Postgres plans what it is asked before every run anew each time: a third of what that costs
        application_name=f"mainstay-{deployment}-limits",
    )
    budgets = BudgetRepository(database)

    async def settled() -> Mapping[str, int]:
        return {"accounts with abandoned reservations": len(await budgets.abandon_old(abandoned_s))}

    if limits.redis_url is not None:
        redis = open_redis(limits.redis_url.resolve(os.environ), timeout_s=limits.timeout_s)

        async def close() -> None:
            await redis.aclose()
            await database.close()

        return QuotaStores(store=RedisQuotas(redis), budgets=budgets, prune=settled, aclose=close)
    quotas = QuotaRepository(database)

    async def pruned() -> Mapping[str, int]:
        return {**await settled(), **await quotas.prune()}

    return QuotaStores(store=quotas, budgets=budgets, prune=pruned, aclose=database.close)


ABANDONED_MARGIN_S = 600.0
"""How long after the latest end of a run what it has reserved is taken to be nobody's."""


def price_list(settings: PriceListSettings) -> PriceList:
    return PriceList(
        models={name: _price(price) for name, price in settings.models.items()},
        other=None if settings.others is None else _price(settings.others),
    )


def _price(settings: PriceSettings) -> Price:
    return Price(input=settings.input, output=settings.output, cached_input=settings.cached_input)


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
    budgets = settings.budgets
    return Plan(
        user=_allowance(settings.user),
        tenant=_allowance(settings.tenant),
        budgets=Budgets(user=budget_of(budgets.user), tenant=budget_of(budgets.tenant), run=budget_of(budgets.run)),
    )


def budget_of(settings: BudgetSettings) -> Budget:
    micros = None if settings.money is None else round(settings.money * MICROS)
    return Budget(micros=micros, tokens=settings.tokens)


def _allowance(settings: AllowanceSettings) -> Allowance:
    rates = {route: getattr(settings, route) for route in RouteClass}
    return Allowance(
        requests={route: _quota(rate) for route, rate in rates.items() if rate is not None},
        tokens=None if settings.tokens is None else _quota(settings.tokens),
        concurrent_runs=settings.concurrent_runs,
    )


def _quota(rate: str) -> Quota:
    limit, window_s, burst = per_window(rate)
    return Quota(limit=limit, window_s=window_s, burst=burst)
