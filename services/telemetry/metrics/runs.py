"""What becomes of runs, and how long they take."""

from services.telemetry.metrics.meter import SECONDS, TOKENS, Metric

RUNS = Metric(
    name="mainstay_runs",
    kind="counter",
    description="Runs that ended, by graph, status and error code (`none` where there was no error).",
    labels=("graph", "status", "code"),
)

RUN_DURATION = Metric(
    name="mainstay_run_duration_seconds",
    kind="histogram",
    description="From the start of a run in its replica to the record of its end.",
    labels=("graph",),
    buckets=SECONDS,
)

TIME_TO_FIRST_TEXT = Metric(
    name="mainstay_time_to_first_text_seconds",
    kind="histogram",
    description="From the start of a run in its replica to the first text of its answer; tool rounds before it included.",
    labels=("graph",),
    buckets=SECONDS,
)

TOKENS_PER_RUN = Metric(
    name="mainstay_tokens_used_per_request",
    kind="histogram",
    description="Model tokens of one run over all its model calls, by direction (input, output).",
    labels=("graph", "provider", "direction"),
    buckets=TOKENS,
)

REQUESTS_SHED = Metric(
    name="mainstay_requests_shed",
    kind="counter",
    description="Work that was refused because this replica was overloaded, by priority.",
    labels=("priority",),
)

WEBHOOK_ATTEMPTS = Metric(
    name="mainstay_webhook_attempts",
    kind="counter",
    description="Attempts to tell a run's webhook of its end, by what came of them: delivered, retried, given_up.",
    labels=("outcome",),
)
