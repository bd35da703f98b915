"""Calls of models, and what stands between a run and a provider."""

from services.telemetry.metrics.meter import SECONDS, Metric

MODEL_CALLS = Metric(
    name="mainstay_model_calls",
    kind="counter",
    description="Attempts at a provider, by outcome: `ok`, an error code, or `stopped` (cancelled, or out of time).",
    labels=("provider", "outcome"),
)

MODEL_FIRST_CONTENT = Metric(
    name="mainstay_model_first_content_seconds",
    kind="histogram",
    description="From sending a call to its first content: text, reasoning or a piece of a tool call.",
    labels=("provider",),
    buckets=SECONDS,
)

MODEL_INTER_TOKEN = Metric(
    name="mainstay_model_inter_token_seconds",
    kind="histogram",
    description="The mean time between two pieces of a call's content, which are about tokens, from the first to the last.",
    labels=("provider",),
    buckets=(0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1.0, 5.0),
)
AGENT_DECISION_LATENCY = Metric(
    name="mainstay_agent_decision_latency_seconds",
    kind="histogram",
    description="From a graph's question to a model until it is known what comes next: the first of a tool call or of text. "
    "Waiting for a place, retries, fail-over and reasoning included.",
    labels=("graph",),
    buckets=SECONDS,
)
MODEL_RETRIES = Metric(
    name="mainstay_model_retries",
    kind="counter",
    description="Calls that were sent to the same provider again.",
    labels=("provider",),
)

MODEL_FAIL_OVERS = Metric(
    name="mainstay_model_fail_overs",
    kind="counter",
    description="Calls that a provider was asked to take because those before it failed, or were out of service.",
    labels=("provider",),
)

MODEL_LIMIT = Metric(
    name="mainstay_model_limit_calls",
    kind="gauge",
    description="Calls of a provider that may await their first content at once, in this replica.",
    labels=("provider",),
)

BREAKER_STATE = Metric(
    name="mainstay_breaker_state",
    kind="gauge",
    description="0 closed, 1 half-open, 2 open, in this replica.",
    labels=("breaker",),
)

BREAKER_CHANGES = Metric(
    name="mainstay_breaker_changes",
    kind="counter",
    description="Changes of a breaker's state, by the state it came to.",
    labels=("breaker", "state"),
)
