"""What every store of budgets promises."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.limits.budgets import UNBOUNDED, WHOLE_TENANT, Amount, Bill, Budget, BudgetStore, Reservation
from services.limits.budgets_in_memory import MemoryBudgets
from services.storage.budgets import BudgetRepository
from services.storage.database import Database

RUN = UUID(int=7)
CALL = Amount(micros=100, tokens=10)
USED = Amount(micros=60, tokens=6)
EXPECTED = Amount(micros=30, tokens=3)


@dataclass(frozen=True, kw_only=True)
class Kept:
    store: BudgetStore
    later: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def kept(request: pytest.FixtureRequest) -> Kept:
    if request.param == "postgres":
        database: Database = request.getfixturevalue("database")

        async def made_older(seconds: float) -> None:
            async with database.raw() as connection:
                passed = timedelta(seconds=seconds)
                await connection.execute("UPDATE budget_reservations SET made_at = made_at - $1::interval", passed)

        return Kept(store=BudgetRepository(database), later=made_older)
    passed = timedelta()

    async def later(seconds: float) -> None:
        nonlocal passed
        passed += timedelta(seconds=seconds)

    return Kept(store=MemoryBudgets(lambda: datetime.now(UTC) + passed), later=later)


def a_call(**changes: Any) -> Reservation:
    values: dict[str, Any] = {
        "id": uuid7(),
        "run_id": RUN,
        "attempt": 1,
        "tenant_id": "acme",
        "user_id": "ada",
        "amount": CALL,
        "expected": EXPECTED,
    }
    return Reservation(**values | changes)


async def owed(kept: Kept, user_id: str = "ada") -> tuple[Amount, Amount]:
    account = await kept.store.account("acme", user_id)
    return account.spent, account.reserved


async def test_a_reservation_counts_for_the_user_and_the_tenant_until_it_is_settled(kept: Kept) -> None:
    call = a_call()
    assert await kept.store.reserve(call, UNBOUNDED, UNBOUNDED) is None
    for user_id in ("ada", WHOLE_TENANT):
        assert await owed(kept, user_id) == (Amount(), CALL)
    accounts = await kept.store.settle([Bill(reservation_id=call.id, amount=USED)])
    assert {(account.user_id, account.spent, account.reserved) for account in accounts} == {
        ("ada", USED, Amount()),
        (WHOLE_TENANT, USED, Amount()),
    }
    assert await owed(kept) == (USED, Amount())


@pytest.mark.parametrize("what", ["micros", "tokens"])
@pytest.mark.parametrize("whose", ["user", "tenant"])
async def test_a_budget_covers_its_last_unit_and_not_one_more(kept: Kept, what: str, whose: str) -> None:
    """Whose budget and what of it runs out makes no difference; nothing is reserved then, in neither account."""
    tight = Budget(**{what: 2 * getattr(CALL, what)})
    budgets = {"user": UNBOUNDED, "tenant": UNBOUNDED, whose: tight}
    for _ in range(2):
        assert await kept.store.reserve(a_call(), **budgets) is None
    short = await kept.store.reserve(a_call(amount=Amount(micros=1, tokens=1)), **budgets)
    assert short is not None
    assert (short.user_id, short.reserved) == ("ada" if whose == "user" else WHOLE_TENANT, CALL + CALL)
    assert await owed(kept) == await owed(kept, WHOLE_TENANT) == (Amount(), CALL + CALL)


async def test_users_share_their_tenants_budget(kept: Kept) -> None:
    tenant = Budget(micros=150)
    assert await kept.store.reserve(a_call(user_id="ada"), UNBOUNDED, tenant) is None
    assert await kept.store.reserve(a_call(user_id="eve"), UNBOUNDED, tenant) is not None
    assert await kept.store.reserve(a_call(user_id="eve", tenant_id="other"), UNBOUNDED, tenant) is None


async def test_two_hundred_at_once_never_pass_a_budget(kept: Kept) -> None:
    """Of one account, which does not exist yet; each reserves 100 and uses 60, and comes again until it is refused."""
    budget = Budget(micros=10_000)

    async def spend_until_refused() -> int:
        spent = 0
        while await kept.store.reserve(call := a_call(run_id=uuid7()), budget, UNBOUNDED) is None:
            spent += USED.micros
            await kept.store.settle([Bill(reservation_id=call.id, amount=USED)])
        return spent

    spent = sum(await asyncio.gather(*(spend_until_refused() for _ in range(200))))
    account = await kept.store.account("acme", "ada")
    assert account.spent.micros == spent
    assert account.reserved == Amount()
    # What was refused last did not fit beside what others had reserved at that moment.
    assert budget.micros is not None
    assert 0 < spent <= budget.micros


async def test_what_is_settled_stays_so(kept: Kept) -> None:
    call = a_call()
    await kept.store.reserve(call, UNBOUNDED, UNBOUNDED)
    await kept.store.settle([Bill(reservation_id=call.id, amount=USED)])
    assert await kept.store.settle([Bill(reservation_id=call.id, amount=USED)]) == []
    assert await kept.store.abandon(RUN, before_attempt=9) == []
    assert await owed(kept) == (USED, Amount())


async def test_many_bills_are_settled_together(kept: Kept) -> None:
    calls = [a_call(user_id=user_id) for user_id in ("ada", "eve", "ada")]
    for call in calls:
        await kept.store.reserve(call, UNBOUNDED, UNBOUNDED)
    accounts = await kept.store.settle([Bill(reservation_id=call.id, amount=USED) for call in calls])
    assert len(accounts) == 3
    assert await owed(kept) == (USED + USED, Amount())
    assert await owed(kept, WHOLE_TENANT) == (USED + USED + USED, Amount())


async def test_what_a_lost_attempt_left_is_settled_as_expected(kept: Kept) -> None:
    """Of that run, and of attempts before the one that has taken it over."""
    left, present, of_another = a_call(), a_call(attempt=2), a_call(run_id=uuid7())
    for call in (left, present, of_another):
        await kept.store.reserve(call, UNBOUNDED, UNBOUNDED)
    await kept.store.abandon(RUN, before_attempt=2)
    assert await owed(kept) == (EXPECTED, CALL + CALL)


async def test_what_nobody_came_for_is_settled_after_a_time(kept: Kept) -> None:
    await kept.store.reserve(a_call(), UNBOUNDED, UNBOUNDED)
    await kept.later(100.0)
    await kept.store.reserve(a_call(), UNBOUNDED, UNBOUNDED)
    await kept.store.abandon_old(50.0)
    assert await owed(kept) == (EXPECTED, CALL)


async def test_accounts_are_listed_by_name_and_month(kept: Kept) -> None:
    for user_id in ("eve", "ada", "bob"):
        await kept.store.reserve(a_call(user_id=user_id), UNBOUNDED, UNBOUNDED)
    await kept.store.reserve(a_call(tenant_id="other", user_id="zoe"), UNBOUNDED, UNBOUNDED)
    first = await kept.store.accounts("acme", limit=2)
    assert [account.user_id for account in first] == ["ada", "bob"]
    assert [account.user_id for account in await kept.store.accounts("acme", limit=2, after="bob")] == ["eve"]
    assert await kept.store.accounts("acme", date(2020, 1, 1), limit=2) == []
    empty = await kept.store.account("acme", "ada", date(2020, 1, 1))
    assert (empty.month, empty.owed) == (date(2020, 1, 1), Amount())


async def test_an_alert_is_given_once_for_each_step(kept: Kept) -> None:
    await kept.store.reserve(a_call(), UNBOUNDED, UNBOUNDED)
    account = await kept.store.account("acme", "ada")
    told = [await kept.store.alert(account, percent) for percent in (80, 80, 100, 80, 100)]
    assert told == [True, False, True, False, False]
