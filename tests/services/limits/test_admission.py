"""Who is turned away at the door."""

import pytest

from services.errors import BudgetExceeded, RateLimitExceeded
from services.limits.admission import LOOK_EVERY_S, MAX_KNOWN, BudgetGate, RunAdmission
from services.limits.budgets import UNBOUNDED, WHOLE_TENANT, Amount, Bill, Budget, Budgets
from services.limits.plans import Allowance, Plan, Plans
from services.limits.quota import Quota
from services.telemetry.metrics import BUDGET_DECISIONS
from tests.services.limits.conftest import Clock
from tests.services.limits.test_budgets_contract import a_call
from tests.services.limits.test_limiter import Away, limiter_of
from tests.services.limits.test_treasury import Books
from tests.services.storage.conftest import a_run
from tests.services.telemetry.fakes import KeptMeter

BUDGET = Budget(tokens=10)


class Counted(Books):
    """Books that count how often they are looked at."""

    looks = 0

    async def account(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        self.looks += 1
        return await super().account(*args, **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def books() -> Counted:
    return Counted()


@pytest.fixture
def store(clock: Clock) -> Away:
    return Away(clock)


async def spend(books: Books, tokens: int) -> None:
    call = a_call(user_id="alice")
    await books.reserve(call, UNBOUNDED, UNBOUNDED)
    await books.settle([Bill(reservation_id=call.id, amount=Amount(tokens=tokens))])


async def test_an_account_with_nothing_left_is_turned_away_and_one_with_a_little_is_not(
    books: Counted, clock: Clock
) -> None:
    """What was learnt counts for a moment: the gateway asks again for every call."""
    meter = KeptMeter()
    gate = BudgetGate(books, clock, meter)
    await spend(books, 9)
    await gate.check("acme", "alice", BUDGET)
    await spend(books, 1)
    await gate.check("acme", "alice", BUDGET)
    assert books.looks == 1
    clock.now += LOOK_EVERY_S
    with pytest.raises(BudgetExceeded, match="The user's budget for this month is used up"):
        await gate.check("acme", "alice", BUDGET)
    with pytest.raises(BudgetExceeded, match="The tenant's budget"):
        await gate.check("acme", WHOLE_TENANT, BUDGET)
    assert [labels["scope"] for _, labels in meter.of(BUDGET_DECISIONS)] == ["user", "tenant"]


async def test_without_a_budget_nobody_looks(books: Counted, clock: Clock) -> None:
    await BudgetGate(books, clock).check("acme", "alice", UNBOUNDED)
    assert books.looks == 0


async def test_the_gate_remembers_a_bounded_number_of_accounts(books: Counted, clock: Clock) -> None:
    gate = BudgetGate(books, clock)
    for number in range(MAX_KNOWN + 1):
        await gate.check("acme", str(number), BUDGET)
    await gate.check("acme", str(MAX_KNOWN), BUDGET)
    assert books.looks == MAX_KNOWN + 1
    await gate.check("acme", "0", BUDGET)
    assert books.looks == MAX_KNOWN + 2


@pytest.mark.parametrize("budgets", [Budgets(user=BUDGET), Budgets(tenant=BUDGET)])
async def test_whoever_has_nothing_left_takes_no_place_and_no_rate(
    books: Counted, clock: Clock, store: Away, budgets: Budgets
) -> None:
    allowance = Allowance(tokens=Quota(limit=600), concurrent_runs=1)
    limiter = limiter_of(store, clock, Plans(default=Plan(user=allowance, budgets=budgets)))
    admission = RunAdmission(limiter, BudgetGate(books, clock))
    await spend(books, 10)
    with pytest.raises(BudgetExceeded):
        await admission.admit(a_run())
    assert store.asked == 0
    limiter.plans = Plans(default=Plan(user=allowance))
    run = a_run()
    await admission.admit(run)
    await admission.idle(run)
    with pytest.raises(RateLimitExceeded):
        await admission.admit(a_run())
