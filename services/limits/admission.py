"""What a run is granted at the door: that its budgets are not used up, a place, and its rates."""

from collections import OrderedDict
from collections.abc import Callable

from services.errors import BudgetExceeded
from services.limits.budgets import WHOLE_TENANT, Budget, BudgetStore
from services.limits.limiter import Limiter
from services.telemetry.metrics import BUDGET_DECISIONS, UNMEASURED, Meter
from services.types import Run

LOOK_EVERY_S = 2.0
"""How long what is known of an account counts: the gateway asks for every model call, so nothing is spent meanwhile."""
MAX_KNOWN = 10_000


class BudgetGate:
    """Turns away, before anything is stored, whoever has nothing left to spend. One per ingress replica."""

    def __init__(self, store: BudgetStore, clock: Callable[[], float], meter: Meter = UNMEASURED) -> None:
        self._store = store
        self._clock = clock
        self._meter = meter
        self._known: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    async def check(self, tenant_id: str, user_id: str, budget: Budget) -> None:
        """Raise BudgetExceeded for an account with nothing left of its budget, StoreUnavailable where that is not known."""
        if budget.micros is None and budget.tokens is None:
            return
        key, now = (tenant_id, user_id), self._clock()
        looked_at, share = self._known.get(key, (float("-inf"), 0.0))
        if now - looked_at >= LOOK_EVERY_S:
            share = budget.share_of((await self._store.account(tenant_id, user_id)).spent)
            self._known[key] = (now, share)
            self._known.move_to_end(key)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        if share >= 1.0:
            whose = "tenant" if user_id == WHOLE_TENANT else "user"
            self._meter.record(BUDGET_DECISIONS, 1.0, {"decision": "refused", "scope": whose})
            raise BudgetExceeded(f"The {whose}'s budget for this month is used up. GET /usage says how much that is.")


class RunAdmission:
    """Implements `services.runs.ports.Admission`."""

    def __init__(self, limiter: Limiter, gate: BudgetGate) -> None:
        self._limiter = limiter
        self._gate = gate

    async def admit(self, run: Run) -> None:
        budgets = self._limiter.plans.of(run.tenant_id).budgets
        await self._gate.check(run.tenant_id, run.user_id, budgets.user)
        await self._gate.check(run.tenant_id, WHOLE_TENANT, budgets.tenant)
        await self._limiter.admit(run)

    async def idle(self, run: Run) -> None:
        await self._limiter.idle(run)

    async def unused(self, run: Run) -> None:
        await self._limiter.unused(run)
