"""Reserving and settling, as a run does it: nothing is spent beyond a budget, and nothing that was spent is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.errors import BudgetExceeded, StoreUnavailable, UnpricedModel
from services.limits.bills import RETRY_S, Payer, payer_of
from services.limits.budgets import WHOLE_TENANT, Account, Amount, Bill, Budget, Budgets, Reservation
from services.limits.budgets_in_memory import MemoryBudgets
from services.limits.prices import FREE, Price, PriceList
from services.limits.purse import Tokens
from services.limits.treasury import RESERVE_RETRY_S, RESERVE_TRIES, Treasury
from services.telemetry.metrics import BUDGET_DECISIONS
from services.types import Claim, EventId, Progress, Usage
from tests.services.limits.test_settling import TIMES, Naps
from tests.services.storage.conftest import ANSWERED, a_run
from tests.services.telemetry.fakes import KeptMeter

PRICES = PriceList(models={"mini": Price(input=1.0, output=10.0)})
MOST, EXPECTED = Tokens(input=100, output=50), Tokens(input=20, output=10)
USED = Usage(input_tokens=30, output_tokens=5)
COST = Amount(micros=80, tokens=35)
AT_MOST = Amount(micros=600, tokens=150)


class Books(MemoryBudgets):
    """Budgets in memory, which can be away, and hold a reservation back."""

    def __init__(self) -> None:
        super().__init__(lambda: datetime(2026, 11, 29, tzinfo=UTC))
        self.away = False
        self.loses_answer = False
        self.poison = -1
        self.settled = asyncio.Event()
        self.reserving = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    def _asked(self) -> None:
        if self.away:
            raise StoreUnavailable("The database cannot be reached.")

    async def reserve(self, reservation: Reservation, user: Budget, tenant: Budget) -> Account | None:
        self._asked()
        self.reserving.set()
        await self.go.wait()
        made = await super().reserve(reservation, user, tenant)
        if self.loses_answer:
            self.loses_answer = False
            raise StoreUnavailable("The connection was lost.")
        return made

    async def settle(self, bills: Sequence[Bill]) -> Sequence[Account]:
        self._asked()
        if any(bill.amount.tokens == self.poison for bill in bills):
            raise OverflowError("value out of int64 range")
        accounts = await super().settle(bills)
        self.settled.set()
        return accounts

    async def abandon(self, run_id: UUID, *, before_attempt: int) -> Sequence[Account]:
        self._asked()
        await asyncio.sleep(0)
        return await super().abandon(run_id, before_attempt=before_attempt)

    async def owed(self, user_id: str = "ada") -> tuple[Amount, Amount]:
        account = await self.account("acme", user_id)
        return account.spent, account.reserved


class HurriedNaps:
    """Sleep that is over at once, and the seconds that were asked for."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)


class Alerts:
    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def budget_used(self, account: Account, budget: Budget, percent: int) -> None:
        self.told.append((account.user_id, percent))


def payer(*, attempt: int = 1, run_id: UUID | None = None, spent: Amount = Amount(), **budgets: Budget) -> Payer:  # noqa: B008
    return Payer(
        tenant_id="acme",
        user_id="ada",
        run_id=run_id or uuid4(),
        attempt=attempt,
        budgets=Budgets(**budgets),
        spent=spent,
    )


class World:
    def __init__(self, **changes: Any) -> None:
        self.books, self.alerts, self.naps = Books(), Alerts(), Naps()
        values = {"prices": PRICES, "observer": self.alerts, "new_id": uuid4, "sleep": self.naps} | changes
        self.treasury = Treasury(store=self.books, **values)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    task = asyncio.create_task(made.treasury.settle_forever())
    yield made
    task.cancel()


async def test_a_call_is_reserved_at_its_most_and_settled_at_its_cost(world: World) -> None:
    held = await world.treasury.purse(payer()).reserve("mini", MOST, EXPECTED)
    assert await world.books.owed() == (Amount(), AT_MOST)
    await held.settle(USED)
    assert await world.books.owed() == await world.books.owed(WHOLE_TENANT) == (COST, Amount())


@pytest.mark.parametrize("whose", ["user", "tenant"])
async def test_what_a_budget_does_not_cover_is_not_begun(world: World, whose: str) -> None:
    purse = world.treasury.purse(payer(**{whose: Budget(micros=1_000)}))
    held = await purse.reserve("mini", MOST, EXPECTED)
    with pytest.raises(BudgetExceeded, match=rf"The {whose}'s budget for November 2026 \(0\.0010 USD\) does not cover"):
        await purse.reserve("mini", MOST, EXPECTED)
    await held.settle(USED)
    await (await purse.reserve("mini", MOST, EXPECTED)).settle(USED)
    assert (await world.books.owed())[0] == COST + COST


async def test_a_run_has_a_budget_of_its_own(world: World) -> None:
    """Calls at the same time count together; what one did not use is there for the next."""
    purse = world.treasury.purse(payer(run=Budget(tokens=300)))
    first, second = [await purse.reserve("mini", MOST, EXPECTED) for _ in range(2)]
    with pytest.raises(BudgetExceeded, match=r"The run's budget \(300 tokens\)"):
        await purse.reserve("mini", MOST, EXPECTED)
    for held in (first, second):
        await held.settle(USED)
    await purse.reserve("mini", MOST, EXPECTED)
    with pytest.raises(BudgetExceeded):
        await purse.reserve("mini", MOST, EXPECTED)


async def test_decisions_are_counted() -> None:
    """One for each model call: granted, or refused by the budget that did not cover it."""
    meter = KeptMeter()
    treasury = World(meter=meter).treasury
    await treasury.purse(payer()).reserve("mini", MOST, EXPECTED)
    for scope in ("user", "tenant", "run"):
        with pytest.raises(BudgetExceeded):
            await treasury.purse(payer(**{scope: Budget(tokens=1)})).reserve("mini", MOST, EXPECTED)
    assert [(labels["decision"], labels["scope"]) for _, labels in meter.of(BUDGET_DECISIONS)] == [
        ("granted", "none"),
        ("refused", "user"),
        ("refused", "tenant"),
        ("refused", "run"),
    ]


async def test_a_run_that_was_taken_over_goes_on_with_what_it_had_spent(world: World) -> None:
    """What its last attempt had left reserved is settled first, as expected."""
    run_id = uuid4()
    lost = world.treasury.purse(payer(run_id=run_id))
    await lost.reserve("mini", MOST, EXPECTED)
    taken_over = world.treasury.purse(payer(run_id=run_id, attempt=2, spent=Amount(tokens=200), run=Budget(tokens=300)))
    with pytest.raises(BudgetExceeded):
        await taken_over.reserve("mini", MOST, EXPECTED)
    smaller = await taken_over.reserve("mini", Tokens(input=50, output=50), EXPECTED)
    assert (await world.books.owed())[0] == Amount(micros=120, tokens=30)
    await smaller.settle(USED)
    assert await world.books.owed() == (Amount(micros=200, tokens=65), Amount())


async def test_a_run_that_was_taken_over_and_needed_no_call_settles_what_it_lost(world: World) -> None:
    """Also when the store was away at its end; a run that nobody took over has lost nothing."""
    run = replace(a_run(), attempt=2)
    for run_id in (run.id, uuid4()):
        await world.treasury.purse(payer(run_id=run_id)).reserve("mini", MOST, EXPECTED)
    world.treasury.run_ended(replace(a_run(), attempt=1), ANSWERED, TIMES)
    world.books.away = True
    world.treasury.run_ended(run, ANSWERED, TIMES)
    assert not await world.treasury.settle_all()
    world.books.away = False
    assert await world.treasury.settle_all()
    assert await world.books.owed() == (Amount(micros=120, tokens=30), AT_MOST)


async def test_a_call_at_work_ends_while_the_store_is_away_and_lost_runs_wait_to_be_settled(world: World) -> None:
    held = await world.treasury.purse(payer()).reserve("mini", MOST, EXPECTED)
    world.books.away = True
    world.treasury.run_ended(replace(a_run(), attempt=2), ANSWERED, TIMES)
    await held.settle(USED)


async def test_a_bill_that_cannot_be_written_takes_no_other_along(world: World) -> None:
    """It is let go of, its reservation ends as expected after a time; settling goes on."""
    held = [await world.treasury.purse(payer()).reserve("mini", MOST, EXPECTED) for _ in range(2)]
    world.books.poison = 5_000
    held[0].settle(Usage(input_tokens=5_000))
    await held[1].settle(USED)
    assert await world.books.owed() == (COST, AT_MOST)
    await (await world.treasury.purse(payer()).reserve("mini", MOST, EXPECTED)).settle(USED)
    assert (await world.books.owed())[0] == COST + COST


async def test_calls_at_once_of_a_resumed_run_keep_to_its_budget(world: World) -> None:
    """The first of them settles what the lost attempt left, and the others wait for that."""
    purse = world.treasury.purse(payer(attempt=2, run=Budget(tokens=200)))
    asked = (purse.reserve("mini", MOST, EXPECTED) for _ in range(3))
    got = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(each, BudgetExceeded) for each in got] == [False, True, True]


async def test_a_call_that_nobody_waits_for_is_settled_all_the_same(world: World) -> None:
    held = await world.treasury.purse(payer()).reserve("mini", MOST, EXPECTED)
    held.settle(USED)
    await world.treasury.settle_all()
    assert await world.books.owed() == (COST, Amount())


async def test_a_waiter_that_is_cancelled_leaves_the_bill(world: World) -> None:
    held = await world.treasury.purse(payer()).reserve("mini", MOST, EXPECTED)
    world.books.away = True
    waiting = asyncio.ensure_future(held.settle(USED))
    waiting.cancel()
    world.books.away = False
    await world.treasury.settle_all()
    assert await world.books.owed() == (COST, Amount())


async def test_a_reservation_whose_run_is_cancelled_meanwhile_is_given_back(world: World) -> None:
    """It is made all the same, for the statement is on its way, and nothing will be spent of it."""
    world.books.go.clear()
    asking = asyncio.create_task(world.treasury.purse(payer()).reserve("mini", MOST, EXPECTED))
    await world.books.reserving.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    world.books.go.set()
    await world.books.settled.wait()
    assert await world.books.owed() == (Amount(), Amount())


async def test_while_the_store_is_away_no_call_is_begun_and_no_bill_is_lost() -> None:
    """It is waited for, as long as for anything else that a run cannot do without."""
    naps = HurriedNaps()
    world = World(sleep=naps)
    purse = world.treasury.purse(payer())
    held = await purse.reserve("mini", MOST, EXPECTED)
    world.books.away = True
    held.settle(USED)
    with pytest.raises(StoreUnavailable):
        await purse.reserve("mini", MOST, EXPECTED)
    assert naps.asked == [RESERVE_RETRY_S] * (RESERVE_TRIES - 1)
    assert not await world.treasury.settle_all()
    world.books.away = False
    assert await world.treasury.settle_all()
    assert await world.books.owed() == (COST, Amount())


async def test_a_database_that_is_restarted_is_waited_for(world: World) -> None:
    """A try whose answer was lost may have been made: it is given back, and the next is another one."""
    world.books.loses_answer = True
    asking = asyncio.create_task(world.treasury.purse(payer()).reserve("mini", MOST, EXPECTED))
    assert await world.naps.asked.get() == RESERVE_RETRY_S
    world.naps.go.set()
    held = await asking
    await world.treasury.settle_all()
    assert await world.books.owed() == (Amount(), AT_MOST)
    await held.settle(USED)
    assert await world.books.owed() == (COST, Amount())


async def test_bills_are_tried_again_by_themselves(world: World) -> None:
    held = await world.treasury.purse(payer()).reserve("mini", MOST, EXPECTED)
    world.books.away = True
    await held.settle(USED)
    assert await world.naps.asked.get() == RETRY_S
    world.books.away = False
    world.naps.go.set()
    await world.books.settled.wait()
    assert await world.books.owed() == (COST, Amount())


@pytest.mark.parametrize("whose", ["user", "tenant"])
async def test_a_budget_that_is_nearly_used_up_is_told_of_once(world: World, whose: str) -> None:
    """At 80 percent, and again at 100, by one replica."""
    other = Treasury(store=world.books, prices=PRICES, observer=world.alerts, new_id=uuid4, sleep=world.naps)
    small, told = Tokens(input=1, output=1), []
    for tokens, treasury in ((79, world.treasury), (1, other), (1, world.treasury), (17, other), (2, other)):
        held = await treasury.purse(payer(**{whose: Budget(tokens=100)})).reserve("mini", small, small)
        held.settle(Usage(input_tokens=tokens))
        await treasury.settle_all()
        told.append([percent for _, percent in world.alerts.told])
    assert told == [[], [80], [80], [80], [80, 100]]
    assert {user_id for user_id, _ in world.alerts.told} == {"ada" if whose == "user" else WHOLE_TENANT}


async def test_a_budget_into_which_nothing_fits_any_more_is_told_of(world: World) -> None:
    """Though much of it is only reserved, or too little is left for one call."""
    with pytest.raises(BudgetExceeded):
        await world.treasury.purse(payer(user=Budget(tokens=100))).reserve("mini", MOST, EXPECTED)
    assert world.alerts.told == [("ada", 100)]


async def test_a_model_without_a_price_is_refused_where_money_would_have_to_pay_for_it(world: World) -> None:
    with pytest.raises(UnpricedModel):
        await world.treasury.purse(payer(tenant=Budget(micros=10))).reserve("large", MOST, EXPECTED)
    held = await world.treasury.purse(payer(tenant=Budget(tokens=1_000))).reserve("large", MOST, EXPECTED)
    assert held.price is FREE


def test_who_pays_for_an_attempt_and_what_it_has_spent() -> None:
    run = a_run()
    usage = Usage(input_tokens=7, output_tokens=2, cost_micros=99)
    progress = Progress(event_id=EventId(attempt=1, seq=3), usage=usage, said="")
    fresh = payer_of(Claim(run=run, remaining_s=1.0), Budgets())
    resumed = payer_of(Claim(run=run, remaining_s=1.0, progress=progress), Budgets())
    assert (fresh.tenant_id, fresh.user_id, fresh.run_id, fresh.spent) == ("acme", "alice", run.id, Amount())
    assert resumed.spent == Amount(micros=99, tokens=9)
