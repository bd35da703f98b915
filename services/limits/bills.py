"""What model calls have cost, on its way into the accounts, and who is told when a budget comes to its end.

A task of the replica pays, and not the run: a call that broke, and one that was cancelled, is paid for all the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NoReturn, Protocol
from uuid import UUID

from services.errors import StoreUnavailable
from services.limits.budgets import NOTHING, WHOLE_TENANT, Account, Amount, Bill, Budget, Budgets, BudgetStore
from services.types import Claim, Usage

logger = logging.getLogger(__name__)

RETRY_S = 1.0
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


class Bills:
    """Those of one replica. `pay_forever` has to run."""

    def __init__(self, store: BudgetStore, observer: BudgetObserver, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._store = store
        self._observer = observer
        self._sleep = sleep
        self._owed: dict[UUID, _Owed] = {}
        self._lost: dict[UUID, int] = {}
        self._told: dict[tuple[str, str, date], int] = {}
        self._news = asyncio.Event()

    def add(self, payer: Payer, bill: Bill) -> Awaitable[None]:
        """Have it paid. What is returned need not be awaited: it is done once the bill is paid, or the store is away."""
        owed = _Owed(payer, bill, asyncio.get_running_loop().create_future())
        self._owed[bill.reservation_id] = owed
        self._news.set()
        return owed.tried

    def abandon(self, run_id: UUID, *, before_attempt: int) -> None:
        """Have what lost attempts at the run have left settled as expected."""
        self._lost[run_id] = before_attempt
        self._news.set()

    async def pay_forever(self) -> NoReturn:
        """Pay the bills as they come; those that come while others are being paid are paid together."""
        while True:
            await self._news.wait()
            self._news.clear()
            # gather makes whatever is raised a value: nobody awaits this task, and runs wait for what it does.
            [settled] = await asyncio.gather(self.pay_all(), return_exceptions=True)
            if settled is True:
                continue
            if isinstance(settled, BaseException):
                logger.error("bills could not be paid, and will be tried again", exc_info=settled)
            await self._sleep(RETRY_S)
            self._news.set()

    async def pay_all(self) -> bool:
        """Pay what is owed now, and return whether the store took it."""
        paid = await self._pay()
        return await self._abandon() and paid

    async def _abandon(self) -> bool:
        """Settle what runs that have ended had lost."""
        try:
            for run_id, attempt in list(self._lost.items()):
                await self._store.abandon(run_id, before_attempt=attempt)
                del self._lost[run_id]
        except StoreUnavailable as error:
            logger.warning("what %d runs have lost cannot be settled yet: %s", len(self._lost), error)
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

    async def _look_at(self, accounts: Sequence[Account], budgets: Budgets) -> None:
        """Tell the observer of budgets that are nearly used up, once in all replicas; this one asks only once."""
        for account in accounts:
            budget = budgets.tenant if account.user_id == WHOLE_TENANT else budgets.user
            used = 100 * budget.share_of(account.spent)
            percent = next((step for step in ALERT_PERCENTS if used >= step), None)
            if percent is not None:
                await self.tell(account, budget, percent)

    async def tell(self, account: Account, budget: Budget, percent: int) -> None:
        """Tell the observer, unless this was told of before, by whichever replica."""
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
