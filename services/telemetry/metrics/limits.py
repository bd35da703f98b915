"""What callers are granted, and what that costs."""

from services.telemetry.metrics.meter import Metric

LIMIT_REFUSALS = Metric(
    name="mainstay_limit_refusals",
    kind="counter",
    description="Requests that a limit refused: which limit, and who decided (this replica's own view of it, the shared store, "
    "or this replica alone because the store was away).",
    labels=("limit", "decided_by"),
)

BUDGET_ALERTS = Metric(
    name="mainstay_budget_alerts",
    kind="counter",
    description="Budgets that were used up to this percentage, each told of once a month: of a user or a tenant.",
    labels=("scope", "percent"),
)
