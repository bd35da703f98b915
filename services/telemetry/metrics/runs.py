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

QUEUE_AGE = Metric(
    name="mainstay_queue_age_seconds",
    kind="gauge",
    description="For how long the oldest queued background run has waited, as this replica saw it within the last minute.",
)
EVENT_LOG_LAG = Metric(
    name="mainstay_event_log_lag_seconds",
    kind="gauge",
    description="How old the oldest event is that a run has emitted and the event log has not stored, in this replica.",
)
PRUNED = Metric(
    name="mainstay_pruned_rows",
    kind="counter",
    description="Rows past their time that were let go of, by kind.",
    labels=("kind",),
)
REQUESTS_SHED = Metric(
    name="mainstay_requests_shed",
    kind="counter",
    description="Work that was refused because this replica was overloaded, or (turns) because all agents were, by priority.",
    labels=("priority",),
)

WEBHOOK_ATTEMPTS = Metric(
    name="mainstay_webhook_attempts",
    kind="counter",
    description="Attempts to tell a run's webhook of its end, by what came of them: delivered, retried, given_up.",
    labels=("outcome",),
)
TRACES_DROPPED = Metric(
    name="mainstay_traces_dropped",
    kind="counter",
    description="Parts of traces that were to be kept and are not in the runs' record: too many at once, or no database.",
)
