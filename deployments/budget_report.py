"""Says when budgets are nearly used up: in the log, and as a metric to alert on."""

import logging

from services.limits.budgets import WHOLE_TENANT, Account, Budget
from services.telemetry.metrics import BUDGET_ALERTS, Meter

logger = logging.getLogger(__name__)


class BudgetReport:
    """Implements `services.limits.bills.BudgetObserver`."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def budget_used(self, account: Account, budget: Budget, percent: int) -> None:
        scope = "tenant" if account.user_id == WHOLE_TENANT else "user"
        self._meter.record(BUDGET_ALERTS, 1.0, {"scope": scope, "percent": str(percent)})
        logger.warning(
            "the budget of a %s for %s is used up to %d %%: %s of %s",
            scope,
            f"{account.month:%Y-%m}",
            percent,
            account.spent,
            budget,
            extra={"tenant_id": account.tenant_id, "user_id": account.user_id},
        )
