"""Every metric, declared once: its name with its unit, what it means, its labels and their bounds.

Recorded per run, never per token: in a replica one observation costs 13 to 37 us. Labels are bounded by configuration (graphs,
providers, outcomes); a user, a thread or a run is never a label. Ray's exporter adds the prefix `ray_`, the suffix `_total` to
counters, and the deployment and replica as labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
TOKENS = (16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`buckets` are a histogram's upper bounds."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


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

SAMPLES_DROPPED = Metric(
    name="mainstay_samples_dropped",
    kind="counter",
    description="Samples that were never scored: the evaluator's queue was full, or their scores could not be stored.",
)

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
MODEL_LIMIT = Metric(
    name="mainstay_model_concurrency_limit",
    kind="gauge",
    description="Calls of a provider that may await their first content at once, in this replica.",
    labels=("provider",),
)
REQUESTS_SHED = Metric(
    name="mainstay_requests_shed",
    kind="counter",
    description="Work that was refused because this replica was overloaded, by priority.",
    labels=("priority",),
)
TOOL_CALLS = Metric(
    name="mainstay_tool_calls",
    kind="counter",
    description="Tool calls that models asked for, by outcome; a tool that does not exist is `unknown`.",
    labels=("tool", "outcome"),
)
TOOL_CALL_DURATION = Metric(
    name="mainstay_tool_call_duration_seconds",
    kind="histogram",
    description="From a tool call's start to its result.",
    labels=("tool",),
    buckets=SECONDS,
)
TOOL_CALL_SUCCESS_RATE = Metric(
    name="mainstay_tool_call_success_rate",
    kind="gauge",
    description="Share of a tool's calls over the last five minutes that gave a result, in this replica.",
    labels=("tool",),
)

LIMIT_REFUSALS = Metric(
    name="mainstay_limit_refusals",
    kind="counter",
    description="Requests that a limit refused: which limit, and who decided (this replica's own view of it, the shared store, "
    "or this replica alone because the store was away).",
    labels=("limit", "decided_by"),
)
BUDGET_ALERTS = Metric(
    name="mainstay_budget_alerts",
    kind="counter",
    description="Budgets that were used up to this percentage, each told of once a month: of a user or a tenant.",
    labels=("scope", "percent"),
)

OUTPUT_WITHHELD = Metric(
    name="mainstay_output_withheld",
    kind="counter",
    description="Runs in which a rule of the output screen withheld something (`redact`) or ended the answer (`block`).",
    labels=("rule", "action"),
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

OUTPUT_RETRACTED = Metric(
    name="mainstay_output_retracted_chars",
    kind="counter",
    description="Characters of answers that were shown and then taken back, by the rule.",
    labels=("rule",),
)

WEBHOOK_ATTEMPTS = Metric(
    name="mainstay_webhook_attempts",
    kind="counter",
    description="Attempts to tell a run's webhook of its end, by what came of them: delivered, retried, given_up.",
    labels=("outcome",),
)

ACCESS_REFUSED = Metric(
    name="mainstay_access_refused",
    kind="counter",
    description="Requests whose key or token was refused, by reason; each is a 401.",
    labels=("reason",),
)
PERMISSION_DENIED = Metric(
    name="mainstay_permission_denied",
    kind="counter",
    description="Permissions that somebody asked for and lacked, by permission; each is a 403.",
    labels=("permission",),
)
AUDIT_EVENTS_DROPPED = Metric(
    name="mainstay_audit_events_dropped",
    kind="counter",
    description="Refusals that are counted above and missing in the audit trail: there were too many kinds of them at once.",
)
KEY_SET_FETCHES = Metric(
    name="mainstay_key_set_fetches",
    kind="counter",
    description="Requests for the identity provider's keys, by what came of them: ok, failed.",
    labels=("outcome",),
)

TRACES_DROPPED = Metric(
    name="mainstay_traces_dropped",
    kind="counter",
    description="Parts of traces that were to be kept and are not in the runs' record: too many at once, or no database.",
)

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        RUNS,
        RUN_DURATION,
        TIME_TO_FIRST_TEXT,
        TOKENS_PER_RUN,
        SAMPLES_DROPPED,
        MODEL_CALLS,
        MODEL_FIRST_CONTENT,
        MODEL_RETRIES,
        MODEL_FAIL_OVERS,
        BREAKER_STATE,
        BREAKER_CHANGES,
        MODEL_LIMIT,
        REQUESTS_SHED,
        TOOL_CALLS,
        TOOL_CALL_DURATION,
        TOOL_CALL_SUCCESS_RATE,
        LIMIT_REFUSALS,
        BUDGET_ALERTS,
        OUTPUT_WITHHELD,
        SEMANTIC_VERDICTS,
        SEMANTIC_SECONDS,
        OUTPUT_RETRACTED,
        WEBHOOK_ATTEMPTS,
        ACCESS_REFUSED,
        PERMISSION_DENIED,
        AUDIT_EVENTS_DROPPED,
        KEY_SET_FETCHES,
        TRACES_DROPPED,
    )
}


class Meter(Protocol):
    """Where measurements go. Must neither wait nor raise."""

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Add `value` to a counter, observe it in a histogram, or set a gauge to it."""
        ...


class _Unmeasured:
    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Nobody looks."""


UNMEASURED: Meter = _Unmeasured()
"""For what is used outside a replica."""
