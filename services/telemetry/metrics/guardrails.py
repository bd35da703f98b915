"""What guardrails decide, and how long that takes."""

from services.telemetry.metrics.meter import Metric

GUARD_VERDICTS = Metric(
    name="mainstay_guard_verdicts",
    kind="counter",
    description="Checks by the guard, by what it looked at (input, tool_result), its verdict (allow, flag, redact, block, or "
    "the code of the error that came in its place), and the rule behind it (`none` where nothing was found).",
    labels=("stage", "verdict", "rule"),
)
GUARD_SECONDS = Metric(
    name="mainstay_guard_check_seconds",
    kind="histogram",
    description="From asking the guard to its verdict, or to knowing that there is none.",
    labels=("stage",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
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
