"""What the runs of an agent replica owe when they have ended, and the slots that they hold until then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from uuid import UUID

from services.errors import StoreUnavailable
from services.limits.limiter import RENEW_EVERY_S, expected_tokens, owner_of
from services.limits.plans import Plans, run_slots, token_bills
from services.limits.quota import Charge
from services.limits.stores import ANY_NUMBER, SLOT_TTL_S, QuotaStore
from services.runs.engine import RunTimes
from services.types import Run, RunOutcome

logger = logging.getLogger(__name__)

FLUSH_AFTER_S = 0.05
RETRY_AFTER_S = 1.0
MAX_PENDING = 10_000
"""Buckets and runs that wait for a store that is away. Past that the oldest are let go of: slots come free by themselves, and
what was expected of a run stays charged."""


class RunSettling:
    """Charges what a run used beyond what was expected of it, or gives back the rest, and releases its slots.

    Implements `services.runs.engine.RunObserver`. The ends of many runs are settled together. `plans` may be replaced at any
    time.
    """

    def __init__(
        self,
        *,
        store: QuotaStore,
        plans: Plans,
        expected_output_tokens: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.plans = plans
        self._store = store
        self._expected_output_tokens = expected_output_tokens
        self._sleep = sleep
        self._bills: dict[bytes, Charge] = {}
        self._ended: dict[UUID, None] = {}
        self._news = asyncio.Event()

    def run_ended(self, run: Run, outcome: RunOutcome, _times: RunTimes) -> None:
        """Have it settled soon."""
        used = outcome.usage.input_tokens + outcome.usage.output_tokens
        expected = expected_tokens(run, self._expected_output_tokens)
        for charge in token_bills(self.plans.of(run.tenant_id), owner_of(run), used=used, expected=expected):
            self._bill(charge)
        if not run.background:
            self._ended[run.id] = None
        self._news.set()

    async def settle_forever(self) -> None:
        """Settle what has ended, a little later, so that it is settled together."""
        while True:
            await self._news.wait()
            await self._sleep(FLUSH_AFTER_S)
            # gather makes whatever is raised a value: nobody awaits this task, and whatever it leaves stays charged.
            [settled] = await asyncio.gather(self.settle(), return_exceptions=True)
            if isinstance(settled, BaseException):
                logger.error("what runs used could not be charged", exc_info=settled)
            if settled is not True:
                await self._sleep(RETRY_AFTER_S)

    async def settle(self) -> bool:
        """Settle all that has ended, and return whether the store took it; what it did not take is kept for the next time."""
        self._news.clear()
        bills, self._bills = self._bills, {}
        ended, self._ended = self._ended, {}
        try:
            if ended:
                await self._store.release(list(ended))
                ended = {}
            if bills:
                await self._store.settle(list(bills.values()))
                bills = {}
        except StoreUnavailable as error:
            logger.warning("what %d runs used could not be charged yet: %s", len(ended) or len(bills), error)
        finally:  # what anything else has interrupted is kept as well, for the next time
            if ended or bills:
                self._news.set()
            for charge in bills.values():
                self._bill(charge)
            self._ended = {**ended, **self._ended}
            self._let_go()
        return not (ended or bills)

    async def renew_forever(self, at_work: Callable[[], Collection[Run]]) -> None:
        """Hold the slots of the runs that are at work here as long as they are.

        One that holds none gets its slots whatever the limit: it has waited for its thread, or was lost for too long. It is at
        work, so others have to wait for it.
        """
        while True:
            await self._sleep(RENEW_EVERY_S)
            # gather makes whatever is raised a value: nobody awaits this task, and what is not renewed comes free.
            [failure] = await asyncio.gather(self._renew(at_work()), return_exceptions=True)
            if isinstance(failure, BaseException):
                logger.warning("the slots of runs at work could not be renewed", exc_info=failure)

    async def _renew(self, at_work: Collection[Run]) -> None:
        waited_for = {run.id: run for run in at_work if not run.background}
        if not waited_for:
            return
        holding = await self._store.renew(waited_for, SLOT_TTL_S)
        for run_id in waited_for.keys() - set(holding):
            run = waited_for[run_id]
            slots = [
                replace(slot, limit=ANY_NUMBER) for _, slot in run_slots(self.plans.of(run.tenant_id), owner_of(run))
            ]
            if slots:
                await self._store.admit(slots=slots, holder=run_id)

    def _bill(self, charge: Charge) -> None:
        earlier = self._bills.get(charge.key)
        self._bills[charge.key] = charge if earlier is None else replace(charge, units=charge.units + earlier.units)

    def _let_go(self) -> None:
        while len(self._bills) > MAX_PENDING:
            del self._bills[next(iter(self._bills))]
        while len(self._ended) > MAX_PENDING:
            del self._ended[next(iter(self._ended))]
