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
            title="Judgements without a score",
            description="The judge failed, was out of money, or could not be read.",
            queries={"{{criterion}}": rate("judgements_unscored", "criterion")},
            unit="reqps",
        ),
        Panel(
            title="Samples dropped",
            description="Never judged: no room, or no store for the scores.",
            queries={"dropped": "sum(rate(ray_mainstay_samples_dropped_total[$__rate_interval]))"},
            unit="reqps",
        ),
    ),
)
