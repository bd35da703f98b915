"""What was spent: one's own, and, for whoever keeps the books, the tenant's and each of its users'."""

from collections.abc import Callable
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from deployments.http.asking import Bookkeeper, Reader
from deployments.http.pages import MAX_PAGE, Limit
from services.errors import InvalidRequest
from services.limits.budgets import WHOLE_TENANT, Account, Amount, Budget, Budgets, BudgetStore
from services.limits.prices import MICROS

Month = Annotated[
    str | None, Query(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", description="such as 2026-11; this one if unset")
]


class AmountJson(BaseModel):
    """`money` in the currency of the price list."""

    money: float
    tokens: int


class BudgetJson(BaseModel):
    """What may be spent in a month; null is without limit."""

    money: float | None
    tokens: int | None


class AccountJson(BaseModel):
    """`reserved` is what model calls at work may cost yet. `budget` is the present one, whatever month it is."""

    month: str
    spent: AmountJson
    reserved: AmountJson
    budget: BudgetJson


class UsageJson(AccountJson):
    currency: str


class UserJson(AccountJson):
    user_id: str


class TenantUsageJson(BaseModel):
    """`tenant` is the sum over all users, erased ones included; `next_after` continues the list, null on its last page."""

    currency: str
    tenant: AccountJson
    users: list[UserJson]
    next_after: str | None


def usage_router(store: BudgetStore, budgets_of: Callable[[str], Budgets], currency: str) -> APIRouter:
    """Routes that read accounts. `budgets_of` returns what the plan of a tenant allows."""
    router = APIRouter(tags=["usage"])

    @router.get("/usage")
    async def read_usage(asking: Reader, month: Month = None) -> UsageJson:
        account = await store.account(asking.tenant_id, asking.user_id, _first_day(month))
        return UsageJson(currency=currency, **_account_json(account, budgets_of(asking.tenant_id).user).model_dump())

    @router.get("/admin/usage")
    async def read_tenant_usage(
        asking: Bookkeeper,
        month: Month = None,
        limit: Limit = MAX_PAGE,
        after: Annotated[str, Query(max_length=1_024)] = WHOLE_TENANT,
    ) -> TenantUsageJson:
        first_day, budgets = _first_day(month), budgets_of(asking.tenant_id)
        tenant = await store.account(asking.tenant_id, WHOLE_TENANT, first_day)
        users = await store.accounts(asking.tenant_id, first_day, limit=limit, after=_storable(after))
        return TenantUsageJson(
            currency=currency,
            tenant=_account_json(tenant, budgets.tenant),
            users=[UserJson(user_id=user.user_id, **_account_json(user, budgets.user).model_dump()) for user in users],
            next_after=users[-1].user_id if len(users) == limit else None,
        )

    return router


def _first_day(month: str | None) -> date | None:
    return None if month is None else date.fromisoformat(f"{month}-01")


def _storable(name: str) -> str:
    if "\0" in name:
        raise InvalidRequest("The name holds the character NUL.", param="after")
    return name


def _account_json(account: Account, budget: Budget) -> AccountJson:
    return AccountJson(
        month=f"{account.month:%Y-%m}",
        spent=_amount_json(account.spent),
        reserved=_amount_json(account.reserved),
        budget=BudgetJson(money=None if budget.micros is None else budget.micros / MICROS, tokens=budget.tokens),
    )


def _amount_json(amount: Amount) -> AmountJson:
    return AmountJson(money=amount.micros / MICROS, tokens=amount.tokens)
