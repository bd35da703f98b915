"""What the judge makes of finished runs."""

from services.telemetry.metrics.meter import Metric

JUDGE_SCORES = Metric(
    name="mainstay_judge_score_points",
    kind="histogram",
    description="Scores that the judge gave, of samples as they were taken: the weights are in the two counters beside it.",
    labels=("graph", "criterion"),
    buckets=(0.25, 0.5, 0.75, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
)
JUDGE_WEIGHTED = Metric(
    name="mainstay_judge_weighted_points",
    kind="counter",
    description="Sum of weight times score. Over the sum of weights it is the mean over all runs, sampled or not.",
    labels=("graph", "criterion"),
)
JUDGE_WEIGHTS = Metric(
    name="mainstay_judge_weights",
    kind="counter",
    description="Sum of the weights of samples that were scored: how many runs they stand for.",
    labels=("graph", "criterion"),
)
JUDGEMENTS = Metric(
    name="mainstay_judgements",
    kind="counter",
    description="Judgements by what came of them: `scored`; `flagged`, in no mean and no series, because a text of the run "
    "spoke to the judge; `unscored`, because the judge failed, was out of money, or could not be read; `inapplicable`, where "
    "the run had nothing to be judged.",
    labels=("graph", "criterion", "outcome"),
)
SAMPLES_DROPPED = Metric(
    name="mainstay_samples_dropped",
    kind="counter",
    description="Samples that were never scored, by where they were lost (shed, sending, unreachable, queue, store, stopped).",
    labels=("reason",),
)
DRIFT = Metric(
    name="mainstay_drift_ratio",
    kind="gauge",
    description="How near the statistic of a criterion's scores has come to its limit, in the series that is nearest: 1 for as "
    "long as an alert fires that is not of a rise. From the replica that watches, and 0 from one that has watched before: take "
    "the maximum.",
    labels=("criterion", "graph"),
)
ALERTS = Metric(
    name="mainstay_alerts",
    kind="counter",
    description="Alerts that were raised: changes of what is watched, and unsafe answers.",
    labels=("kind", "severity"),
)
ALERT_DELIVERIES = Metric(
    name="mainstay_alert_deliveries",
    kind="counter",
    description="Attempts to tell a channel of an alert, by what came of them: delivered, retried, given_up.",
    labels=("channel", "outcome"),
)
