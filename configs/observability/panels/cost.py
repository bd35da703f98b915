"""What is spent, what budgets and limits say."""

from configs.observability.dashboards import Dashboard, Panel
from configs.observability.queries import quantile, rate

COST = Dashboard(
    uid="mainstay-cost",
    title="Mainstay: cost",
    panels=(
        Panel(
            title="Spent in an hour, by graph",
            description="In the currency of the price list; the judges are among the graphs.",
            queries={"{{graph}}": "sum by (graph) (increase(ray_mainstay_spent_currency_units_total[1h]))"},
            unit="none",
            stacked=True,
        ),
        Panel(
            title="Spent in an hour, by provider",
            description="In the currency of the price list.",
            queries={"{{provider}}": "sum by (provider) (increase(ray_mainstay_spent_currency_units_total[1h]))"},
            unit="none",
            stacked=True,
        ),
        Panel(
            title="Spent for a thousand runs",
            description="Over an hour, by graph.",
            queries={
                "{{graph}}": "1000 * sum by (graph) (increase(ray_mainstay_spent_currency_units_total[1h])) "
                "/ sum by (graph) (increase(ray_mainstay_runs_total[1h]))"
            },
            unit="none",
        ),
        Panel(
            title="Tokens of a run",
            description="Half of the runs, and 95 %, use no more; by direction.",
            queries={
                "{{direction}} p50": quantile(0.5, "tokens_used_per_request", "direction"),
                "{{direction}} p95": quantile(0.95, "tokens_used_per_request", "direction"),
            },
        ),
        Panel(
            title="Decisions of budgets",
            description="Model calls that were granted, or refused by a budget of a user, a tenant or a run.",
            queries={"{{decision}} {{scope}}": rate("budget_decisions", "decision, scope")},
            unit="reqps",
        ),
        Panel(
            title="Budgets that are used up",
            description="To 80 and to 100 percent, in a day, each told of once a month.",
            queries={
                "{{scope}} {{percent}} %": "sum by (scope, percent) (increase(ray_mainstay_budget_alerts_total[1d]))"
            },
        ),
        Panel(
            title="Let through by the limits",
            description="By who decided: the shared store, or a replica alone because the store was away.",
            queries={"{{decided_by}}": rate("limit_admissions", "decided_by")},
            unit="reqps",
        ),
        Panel(
            title="Refused by the limits",
            description="By limit; `local` is a replica's own view of a flood.",
            queries={"{{limit}} {{decided_by}}": rate("limit_refusals", "limit, decided_by")},
            unit="reqps",
        ),
    ),
)
