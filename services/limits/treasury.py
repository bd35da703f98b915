"""A run's way to its budgets: reserve before a model call, settle after it.

The end of a call is settled by a task of the replica, not of the run: it happens for a call that broke, and for one that was
cancelled, all the same. While the store is away nothing can be reserved, so no further call is made (it fails closed), and what
calls at work have cost is kept until it can be written.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar
from uuid import UUID

from services.errors import BudgetExceeded
from services.limits.bills import Bills, BudgetObserver, Payer
from services.limits.budgets import (
    NOTHING,
    WHOLE_TENANT,
    Amount,
    Bill,
    Budget,
    Budgets,
    BudgetStore,
    Reservation,
)
from services.limits.prices import FREE, MICROS, Price, PriceList
from services.limits.purse import Tokens
from services.runs.engine import RunTimes
from services.runs.patiently import patiently
from services.telemetry.metrics import BUDGET_DECISIONS, UNMEASURED, Meter
from services.types import Run, RunOutcome, Usage

ResultT = TypeVar("ResultT")

RESERVE_TRIES = 10
RESERVE_RETRY_S = 0.5
"""A reservation waits as long for a database that is being restarted as everything else does that a run cannot do without."""


class Treasury:
    """The spending of one replica. `settle_forever` has to run; `currency` is for messages."""

    def __init__(
        self,
        *,
        store: BudgetStore,
        prices: PriceList,
        observer: BudgetObserver,
        new_id: Callable[[], UUID],
        currency: str = "USD",
        meter: Meter = UNMEASURED,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._prices = prices
        self._new_id = new_id
        self._currency = currency
        self._meter = meter
        self._sleep = sleep
        self._bills = Bills(store, observer, sleep)

    def purse(self, payer: Payer) -> "RunPurse":
        return RunPurse(self, payer)

    def price(self, model: str, budgets: Budgets) -> Price:
        """Return what a model costs. One without a price is free where no budget of money would have to cover it."""
        bounded = any(budget.micros is not None for budget in (budgets.user, budgets.tenant, budgets.run))
        return self._prices.of(model) if bounded or model in self._prices.models else self._prices.other or FREE

    async def reserve(self, payer: Payer, amount: Amount, expected: Amount) -> Reservation:
        """Raises BudgetExceeded, and StoreUnavailable."""
        return await self._patiently(lambda: self._reserve(payer, amount, expected))

    async def _patiently(self, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
        return await patiently(work, "the accounts", tries=RESERVE_TRIES, retry_s=RESERVE_RETRY_S, sleep=self._sleep)

    async def _reserve(self, payer: Payer, amount: Amount, expected: Amount) -> Reservation:
        reservation = Reservation(
            id=self._new_id(),
            run_id=payer.run_id,
            attempt=payer.attempt,
            tenant_id=payer.tenant_id,
            user_id=payer.user_id,
            amount=amount,
            expected=expected,
        )
        budgets, answered = payer.budgets, False
        making = asyncio.create_task(self._store.reserve(reservation, budgets.user, budgets.tenant))
        try:
            short = await asyncio.shield(making)
            answered = True
        finally:
            if not answered:  # it may be made all the same, or be made yet, and nothing will be spent of it
                bill = Bill(reservation_id=reservation.id, amount=NOTHING)
                making.add_done_callback(lambda _: self.settle(payer, bill))
        if short is None:
            self._meter.record(BUDGET_DECISIONS, 1.0, {"decision": "granted", "scope": "none"})
            return reservation
        whose, budget = ("tenant", budgets.tenant) if short.user_id == WHOLE_TENANT else ("user", budgets.user)
        self.refused(whose)
        # Nothing fits in any more, whatever of it is spent and what reserved.
        await self._bills.tell(short, budget, 100)
        raise BudgetExceeded(
            f"The {whose}'s budget for {short.month:%B %Y} ({self.in_words(budget)}) does not cover another model call: "
            f"{self.in_words(short.spent)} are spent, {self.in_words(short.reserved)} reserved by calls at work."
        )

    def refused(self, scope: str) -> None:
        """Count a model call that a budget did not cover."""
        self._meter.record(BUDGET_DECISIONS, 1.0, {"decision": "refused", "scope": scope})

    async def take_over(self, payer: Payer) -> None:
        """Settle what lost attempts at the run have left. Raises StoreUnavailable."""
        await self._patiently(lambda: self._store.abandon(payer.run_id, before_attempt=payer.attempt))

    def run_ended(self, run: Run, _outcome: RunOutcome, _times: RunTimes) -> None:
        """Implements `services.runs.engine.RunObserver`.

        A run that was taken over, and needed no model call any more, has settled nothing of what it lost.
        """
        if run.attempt > 1:
            self._bills.abandon(run.id, before_attempt=run.attempt)

    def settle(self, payer: Payer, bill: Bill) -> Awaitable[None]:
        """Have a bill paid, whatever becomes of whoever brought it."""
        return self._bills.add(payer, bill)

    async def settle_forever(self) -> NoReturn:
        """Pay the bills as they come, for as long as the replica is there."""
        await self._bills.pay_forever()

    async def settle_all(self) -> bool:
        """Pay what is owed now, and return whether the store took it."""
        return await self._bills.pay_all()

    def in_words(self, amount: Amount | Budget) -> str:
        """Return an amount, or what of it a budget bounds, as a person reads it."""
        money = None if amount.micros is None else f"{amount.micros / MICROS:.4f} {self._currency}"
        tokens = None if amount.tokens is None else f"{amount.tokens:,} tokens"
        return " and ".join(part for part in (money, tokens) if part is not None) or "without limit"


class RunPurse:
    """Implements `Purse` for one attempt at a run."""

    def __init__(self, treasury: Treasury, payer: Payer) -> None:
        self._treasury = treasury
        self._payer = payer
        self._owed = payer.spent
        self._taken_over = payer.attempt == 1
        self._taking_over = asyncio.Lock()

    async def reserve(self, model: str, most: Tokens, expected: Tokens) -> "HeldAmount":
        treasury, payer = self._treasury, self._payer
        price = treasury.price(model, payer.budgets)
        amount = Amount(
            micros=price.at_most_micros(most.input, most.output),
            tokens=most.input + most.output,
        )
        async with self._taking_over:
            if not self._taken_over:
                await treasury.take_over(payer)
                self._taken_over = True
        # From the question to the answer nothing is awaited: calls that are made at once count together.
        if not payer.budgets.run.covers(self._owed + amount):
            treasury.refused("run")
            raise BudgetExceeded(
                f"The run's budget ({treasury.in_words(payer.budgets.run)}) does not cover another model call: "
                f"{treasury.in_words(self._owed)} are spent."
            )
        self._owed += amount
        reservation = None
        try:
            guess = Amount(
                micros=price.at_most_micros(expected.input, expected.output),
                tokens=expected.input + expected.output,
            )
            reservation = await treasury.reserve(payer, amount, guess)
        finally:
            if reservation is None:
                self._give_back(amount, NOTHING)
        return HeldAmount(self, price, reservation)

    def settle(self, price: Price, reservation: Reservation, usage: Usage) -> Awaitable[None]:
        used = Amount(micros=price.cost_micros(usage), tokens=usage.input_tokens + usage.output_tokens)
        self._give_back(reservation.amount, used)
        return self._treasury.settle(self._payer, Bill(reservation_id=reservation.id, amount=used))

    def _give_back(self, amount: Amount, used: Amount) -> None:
        self._owed += Amount(micros=used.micros - amount.micros, tokens=used.tokens - amount.tokens)


class HeldAmount:
    """Implements `Held`."""

    def __init__(self, purse: RunPurse, price: Price, reservation: Reservation) -> None:
        self.price = price
        self._purse = purse
        self._reservation = reservation

    def settle(self, usage: Usage) -> Awaitable[None]:
        return self._purse.settle(self.price, self._reservation, usage)
