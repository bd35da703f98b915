"""What callers are granted, and what that costs."""

from services.telemetry.metrics.meter import Metric

LIMIT_ADMISSIONS = Metric(
    name="mainstay_limit_admissions",
    kind="counter",
    description="Requests and runs that the limits let through, by who decided (the shared store, or this replica alone "
    "because the store was away).",
    labels=("decided_by",),
)
LIMIT_REFUSALS = Metric(
    name="mainstay_limit_refusals",
    kind="counter",
    description="Requests that a limit refused: which limit, and who decided (this replica's own view of it, the shared store, "
    "or this replica alone because the store was away).",
    labels=("limit", "decided_by"),
)

BUDGET_DECISIONS = Metric(
    name="mainstay_budget_decisions",
    kind="counter",
    description="Model calls that budgets were asked for: `granted`, or `refused` by a budget of this scope (user, tenant, "
    "run; `none` where granted). Runs that were refused at the door count as well.",
    labels=("decision", "scope"),
)
SPENT = Metric(
    name="mainstay_spent_currency_units",
    kind="counter",
    description="What model calls have cost, in the currency of the price list, by asker (a graph or a judge) and provider.",
    labels=("graph", "provider"),
)
BUDGET_ALERTS = Metric(
    name="mainstay_budget_alerts",
    kind="counter",
    description="Budgets that were used up to this percentage, each told of once a month: of a user or a tenant.",
    labels=("scope", "percent"),
)
