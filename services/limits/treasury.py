"""A run's way to its budgets: reserve before a model call, settle after it.

The end of a call is settled by a task of the replica, not of the run: it happens for a call that broke, and for one that was
cancelled, all the same. While the store is away nothing can be reserved, so no further call is made (it fails closed), and what
calls at work have cost is kept until it can be written.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NoReturn, Protocol, TypeVar
from uuid import UUID

from services.errors import BudgetExceeded, StoreUnavailable
from services.limits.budgets import (
    NOTHING,
    WHOLE_TENANT,
    Account,
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
from services.types import Claim, Run, RunOutcome, Usage

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

RETRY_S = 1.0
RESERVE_TRIES = 10
RESERVE_RETRY_S = 0.5
"""A reservation waits as long for a database that is being restarted as everything else does that a run cannot do without."""
ALERT_PERCENTS = (100, 80)
"""Of a budget, the highest first: each is told of once a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Who pays for a run, from which budgets, and what it has spent already."""

    tenant_id: str
    user_id: str
    run_id: UUID
    attempt: int
    budgets: Budgets
    spent: Amount = NOTHING


def payer_of(claim: Claim, budgets: Budgets) -> Payer:
    """Return who pays for an attempt at a run; what the run had spent at its last checkpoint counts against its own budget."""
    run, usage = claim.run, Usage() if claim.progress is None else claim.progress.usage
    return Payer(
        tenant_id=run.tenant_id,
        user_id=run.user_id,
        run_id=run.id,
        attempt=run.attempt,
        budgets=budgets,
        spent=Amount(micros=usage.cost_micros, tokens=usage.input_tokens + usage.output_tokens),
    )


class BudgetObserver(Protocol):
    """Told when a budget is used up to one of ALERT_PERCENTS. Must neither wait nor raise."""

    def budget_used(self, account: Account, budget: Budget, percent: int) -> None: ...


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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._prices = prices
        self._observer = observer
        self._new_id = new_id
        self._currency = currency
        self._sleep = sleep
        self._owed: dict[UUID, _Owed] = {}
        self._news = asyncio.Event()
        self._taken_over: dict[UUID, int] = {}
        self._told: dict[tuple[str, str, date], int] = {}

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
        """Do it, with patience for a database that is being restarted. Raises StoreUnavailable when it is still away then."""
        for _ in range(RESERVE_TRIES - 1):
            try:
                return await work()
            except StoreUnavailable as error:
                logger.warning("budgets cannot be asked yet: %s", error)
                await self._sleep(RESERVE_RETRY_S)
        return await work()

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
            return reservation
        whose, budget = ("tenant", budgets.tenant) if short.user_id == WHOLE_TENANT else ("user", budgets.user)
        await self._tell(short, budget, 100)  # nothing fits in any more, whatever of it is spent and what reserved
        raise BudgetExceeded(
            f"The {whose}'s budget for {short.month:%B %Y} ({self.in_words(budget)}) does not cover another model call: "
            f"{self.in_words(short.spent)} are spent, {self.in_words(short.reserved)} reserved by calls at work."
        )

    async def take_over(self, payer: Payer) -> None:
        """Settle what lost attempts at the run have left. Raises StoreUnavailable."""
        await self._patiently(lambda: self._store.abandon(payer.run_id, before_attempt=payer.attempt))

    def run_ended(self, run: Run, _outcome: RunOutcome, _times: RunTimes) -> None:
        """Implements `services.runs.engine.RunObserver`.

        A run that was taken over, and needed no model call any more, has settled nothing of what it lost.
        """
        if run.attempt > 1:
            self._taken_over[run.id] = run.attempt
            self._news.set()

    def settle(self, payer: Payer, bill: Bill) -> Awaitable[None]:
        """Have a bill paid, whatever becomes of whoever brought it."""
        owed = _Owed(payer, bill, asyncio.get_running_loop().create_future())
        self._owed[bill.reservation_id] = owed
        self._news.set()
        return owed.tried

    async def settle_forever(self) -> NoReturn:
        """Pay the bills as they come; those that come while others are being paid are paid together."""
        while True:
            await self._news.wait()
            self._news.clear()
            # gather makes whatever is raised a value: nobody awaits this task, and runs wait for what it does.
            [settled] = await asyncio.gather(self.settle_all(), return_exceptions=True)
            if settled is True:
                continue
            if isinstance(settled, BaseException):
                logger.error("bills could not be paid, and will be tried again", exc_info=settled)
            await self._sleep(RETRY_S)
            self._news.set()

    async def settle_all(self) -> bool:
        """Pay what is owed now, and return whether the store took it."""
        paid = await self._pay()
        return await self._abandon() and paid

    async def _abandon(self) -> bool:
        """Settle what runs that have ended had lost."""
        try:
            for run_id, attempt in list(self._taken_over.items()):
                await self._store.abandon(run_id, before_attempt=attempt)
                del self._taken_over[run_id]
        except StoreUnavailable as error:
            logger.warning("what %d runs have lost cannot be settled yet: %s", len(self._taken_over), error)
            return False
        return True

    async def _pay(self) -> bool:
        owed = list(self._owed.values())
        if not owed:
            return True
        try:
            [paid] = await asyncio.gather(self._pay_together(owed), return_exceptions=True)
            if isinstance(paid, Exception) and not isinstance(paid, StoreUnavailable):
                paid = await self._pay_one_by_one(owed)
        finally:
            for each in owed:
                if not each.tried.done():
                    each.tried.set_result(None)
        if isinstance(paid, BaseException):
            logger.warning("what %d model calls have cost cannot be written yet: %s", len(self._owed), paid)
            return False
        return True

    async def _pay_together(self, owed: Sequence["_Owed"]) -> None:
        accounts = await self._store.settle([each.bill for each in owed])
        for each in owed:
            del self._owed[each.bill.reservation_id]
        for payer in {(each.payer.tenant_id, each.payer.user_id): each.payer for each in owed}.values():
            await self._look_at([account for account in accounts if _is_of(account, payer)], payer.budgets)

    async def _pay_one_by_one(self, owed: Sequence["_Owed"]) -> StoreUnavailable | None:
        """Pay what can be paid where one of the bills is wrong. That one is let go of: its reservation ends as expected."""
        for each in owed:
            if each.bill.reservation_id not in self._owed:
                continue
            [failure] = await asyncio.gather(self._pay_together([each]), return_exceptions=True)
            if isinstance(failure, StoreUnavailable):
                return failure
            if isinstance(failure, Exception):
                logger.error("run %s: what a call has cost cannot be written", each.payer.run_id, exc_info=failure)
                self._owed.pop(each.bill.reservation_id, None)
        return None

    def in_words(self, amount: Amount | Budget) -> str:
        """Return an amount, or what of it a budget bounds, as a person reads it."""
        money = None if amount.micros is None else f"{amount.micros / MICROS:.4f} {self._currency}"
        tokens = None if amount.tokens is None else f"{amount.tokens:,} tokens"
        return " and ".join(part for part in (money, tokens) if part is not None) or "without limit"

    async def _look_at(self, accounts: Sequence[Account], budgets: Budgets) -> None:
        """Tell the observer of budgets that are nearly used up, once in all replicas; this one asks only once."""
        for account in accounts:
            budget = budgets.tenant if account.user_id == WHOLE_TENANT else budgets.user
            used = 100 * budget.share_of(account.spent)
            percent = next((step for step in ALERT_PERCENTS if used >= step), None)
            if percent is not None:
                await self._tell(account, budget, percent)

    async def _tell(self, account: Account, budget: Budget, percent: int) -> None:
        key = (account.tenant_id, account.user_id, account.month)
        if self._told.get(key, 0) >= percent:
            return
        if await self._store.alert(account, percent):
            self._observer.budget_used(account, budget, percent)
        self._told[key] = percent


@dataclass(frozen=True, slots=True)
class _Owed:
    payer: Payer
    bill: Bill
    tried: "asyncio.Future[None]"


def _is_of(account: Account, payer: Payer) -> bool:
    return account.tenant_id == payer.tenant_id and account.user_id in (WHOLE_TENANT, payer.user_id)


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
