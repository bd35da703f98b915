"""What the judge makes of answers."""

from configs.observability.dashboards import Dashboard, Panel
from configs.observability.queries import quantile, rate

QUALITY = Dashboard(
    uid="mainstay-quality",
    title="Mainstay: quality",
    panels=(
        Panel(
            title="Scores, weighted mean",
            description="Of all runs of six hours, sampled or not, from 0 to 10.",
            queries={"{{graph}} {{criterion}}": "mainstay:judge_score_points:weighted_mean6h"},
            unit="none",
        ),
        Panel(
            title="Scores, lowest tenth",
            description="What one in ten judged samples does not reach.",
            queries={"{{criterion}}": quantile(0.1, "judge_score_points", "criterion")},
            unit="none",
        ),
        Panel(
            title="Samples judged",
            description="Scores of six hours, by graph and criterion.",
            queries={"{{graph}} {{criterion}}": "mainstay:judge_score_points:count6h"},
        ),
        Panel(
            title="Judgements in no mean",
            description="Unscored: the judge failed, was out of money, or could not be read. Flagged: it was spoken to. "
            "Inapplicable: there was nothing to be judged.",
            queries={"{{criterion}} {{outcome}}": rate("judgements", "criterion, outcome", '{outcome!="scored"}')},
            unit="reqps",
        ),
        Panel(
            title="Samples dropped",
            description="Never judged: no room, or no store for the scores.",
            queries={"{{reason}}": rate("samples_dropped", "reason")},
            unit="reqps",
        ),
        Panel(
            title="Drift",
            description="How near scores have come to an alert, which is at 1.",
            queries={"{{graph}} {{criterion}}": "max by (graph, criterion) (ray_mainstay_drift_ratio)"},
            unit="none",
        ),
        Panel(
            title="Alerts of the evaluator",
            description="Raised in a day: falls, changes, and unsafe answers.",
            queries={"{{kind}}": "sum by (kind) (increase(ray_mainstay_alerts_total[1d]))"},
        ),
        Panel(
            title="Alerts on their way",
            description="Attempts to tell a channel of an alert, by what came of them.",
            queries={"{{channel}} {{outcome}}": rate("alert_deliveries", "channel, outcome")},
            unit="reqps",
        ),
    ),
)
