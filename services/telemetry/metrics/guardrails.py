"""What guardrails decide, and how long that takes."""

from services.telemetry.metrics.meter import Metric

OUTPUT_WITHHELD = Metric(
    name="mainstay_runs_withheld",
    kind="counter",
    description="Runs in which a rule of the output screen withheld something (`redact`) or ended the answer (`block`).",
    labels=("rule", "action"),
)

OUTPUT_RETRACTED = Metric(
    name="mainstay_output_retracted_chars",
    kind="counter",
    description="Characters of answers that were shown and then taken back, by the rule.",
    labels=("rule",),
)

SEMANTIC_VERDICTS = Metric(
    name="mainstay_semantic_verdicts",
    kind="counter",
    description="Sentences by a semantic check's verdict: allow, flag, block; late, failed or stopped where there was none.",
    labels=("check", "verdict"),
)

SEMANTIC_SECONDS = Metric(
    name="mainstay_semantic_check_seconds",
    kind="histogram",
    description="The longest that a semantic check took for one sentence, for each run.",
    labels=("check",),
    buckets=(0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0),
)
