"""The settings of what users and tenants may ask for. Operators think in plans; a tenant has one."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from configs.section import EnvRef, Name, PositiveSeconds, Section

WINDOWS_S: Mapping[str, float] = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
_NUMBER = "([1-9][0-9_]{0,14})"
_RATE = re.compile(rf"{_NUMBER}/({'|'.join(WINDOWS_S)})(?: burst {_NUMBER})?")


def per_window(rate: str) -> tuple[int, float, int | None]:
    """Return how much `600/minute burst 20` is, in how many seconds, and how much of it at once. Raises ValueError."""
    match = _RATE.fullmatch(rate)
    if match is None:
        raise ValueError(f"write a number and one of {', '.join(WINDOWS_S)}, such as 600/minute or 600/minute burst 20")
    limit, burst = int(match[1].replace("_", "")), int(match[3].replace("_", "")) if match[3] else None
    if burst is not None and burst > limit:
        raise ValueError("the burst is part of the rate, and cannot be more")
    return limit, WINDOWS_S[match[2]], burst


def _is_a_rate(rate: str) -> str:
    per_window(rate)
    return rate


Rate = Annotated[str, AfterValidator(_is_a_rate)]
"""All of it may be used at once, or what is given as its burst; it comes back evenly."""


class AllowanceSettings(Section):
    """What one user, or a whole tenant, may ask for; what is left out is not limited."""

    runs: Rate | None = Field(default=None, description="requests that start a run, whatever becomes of it")
    reads: Rate | None = None
    writes: Rate | None = Field(default=None, description="cancelling, erasing, and whatever else changes something")
    admin: Rate | None = None
    tokens: Rate | None = Field(default=None, description="of models, input and output, over all runs")
    concurrent_runs: int | None = Field(
        default=None, ge=1, le=1_000_000, description="that a client waits for; what is queued does not count"
    )


class BudgetSettings(Section):
    """What may be spent; what is left out is not bounded. Money is in the currency of the price list."""

    money: float | None = Field(default=None, ge=0, le=1e9)
    tokens: int | None = Field(default=None, ge=0, le=10**15, description="input and output together")


class BudgetsSettings(Section):
    """`user` and `tenant` are for a calendar month (UTC), `run` is for each run."""

    user: BudgetSettings = BudgetSettings()
    tenant: BudgetSettings = BudgetSettings()
    run: BudgetSettings = BudgetSettings()


class PlanSettings(Section):
    user: AllowanceSettings = AllowanceSettings()
    tenant: AllowanceSettings = AllowanceSettings()
    budgets: BudgetsSettings = BudgetsSettings()


class PlansSettings(Section):
    """What `user_config` of ingress and agent may change live. `tenants` names the plan of those that have another one."""

    plans: Mapping[Name, PlanSettings] = Field(default_factory=lambda: {"unlimited": PlanSettings()}, min_length=1)
    default_plan: Name = "unlimited"
    tenants: Mapping[str, Name] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _plans_exist(self) -> "PlansSettings":
        for key, name in (("default_plan", self.default_plan), *(("tenants." + t, p) for t, p in self.tenants.items())):
            if name not in self.plans:
                raise ValueError(f"{key}: {name!r} is not one of plans: {', '.join(self.plans)}")
        return self


class PriceSettings(Section):
    """In the currency, per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float | None = Field(default=None, ge=0, description="unset: as any other input")


class PriceListSettings(Section):
    """What models cost, by the name that their provider is asked for."""

    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    models: Mapping[str, PriceSettings] = Field(default_factory=dict)
    others: PriceSettings | None = Field(
        default=None,
        description="of a model that is not named; unset: refused where a budget of money would pay for it",
    )


class LimitSettings(PlansSettings):
    """Where it is counted what was taken, and what holds while that place cannot be reached."""

    redis_url: EnvRef | None = Field(default=None, description="a Redis that counts in the place of Postgres")
    pool_size: int = Field(default=1, ge=1, le=50, description="connections to Postgres, per replica, for this alone")
    timeout_s: PositiveSeconds = Field(default=1.0, description="for one statement, and for a connection to come free")
    share_when_away: float = Field(
        default=0.125, gt=0, le=1, description="of each quota: what one ingress gives out alone while the store is away"
    )
    expected_output_tokens: int = Field(
        default=512, ge=1, description="what an answer is charged until its bill is there, unless its client wants less"
    )
