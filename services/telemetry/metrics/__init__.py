"""Every metric, declared once: its name with its unit, what it means, its labels and their bounds.

Recorded per run or per model call, never per token. Labels are bounded by configuration (graphs, providers, outcomes); a user,
a thread or a run is never a label. Ray's exporter adds the prefix `ray_`, the suffix `_total` to counters, and the worker and
its node as labels. docs/metrics.md is the same catalogue for readers.
"""

from collections.abc import Mapping

from services.telemetry.metrics.access import ACCESS_REFUSED, AUDIT_EVENTS_DROPPED, KEY_SET_FETCHES, PERMISSION_DENIED
from services.telemetry.metrics.evaluation import (
    ALERT_DELIVERIES,
    ALERTS,
    DRIFT,
    JUDGE_SCORES,
    JUDGE_WEIGHTED,
    JUDGE_WEIGHTS,
    JUDGEMENTS,
    SAMPLES_DROPPED,
)
from services.telemetry.metrics.guardrails import (
    GUARD_SECONDS,
    GUARD_VERDICTS,
    OUTPUT_RETRACTED,
    OUTPUT_WITHHELD,
    SEMANTIC_SECONDS,
    SEMANTIC_VERDICTS,
)
from services.telemetry.metrics.limits import BUDGET_ALERTS, BUDGET_DECISIONS, LIMIT_ADMISSIONS, LIMIT_REFUSALS, SPENT
from services.telemetry.metrics.meter import UNMEASURED as UNMEASURED
from services.telemetry.metrics.meter import Meter as Meter
from services.telemetry.metrics.meter import Metric
from services.telemetry.metrics.models import (
    AGENT_DECISION_LATENCY,
    BREAKER_CHANGES,
    BREAKER_STATE,
    MODEL_CALLS,
    MODEL_FAIL_OVERS,
    MODEL_FIRST_CONTENT,
    MODEL_INTER_TOKEN,
    MODEL_LIMIT,
    MODEL_RETRIES,
)
from services.telemetry.metrics.runs import (
    EVENT_LOG_LAG,
    PRUNED,
    QUEUE_AGE,
    REQUESTS_SHED,
    RUN_DURATION,
    RUNS,
    TIME_TO_FIRST_TEXT,
    TOKENS_PER_RUN,
    TRACES_DROPPED,
    WEBHOOK_ATTEMPTS,
)
from services.telemetry.metrics.tools import TOOL_CALL_DURATION, TOOL_CALL_SUCCESS_RATE, TOOL_CALLS

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        RUNS,
        RUN_DURATION,
        TIME_TO_FIRST_TEXT,
        TOKENS_PER_RUN,
        QUEUE_AGE,
        EVENT_LOG_LAG,
        PRUNED,
        REQUESTS_SHED,
        WEBHOOK_ATTEMPTS,
        TRACES_DROPPED,
        MODEL_CALLS,
        MODEL_FIRST_CONTENT,
        MODEL_INTER_TOKEN,
        AGENT_DECISION_LATENCY,
        MODEL_RETRIES,
        MODEL_FAIL_OVERS,
        MODEL_LIMIT,
        BREAKER_STATE,
        BREAKER_CHANGES,
        TOOL_CALLS,
        TOOL_CALL_DURATION,
        TOOL_CALL_SUCCESS_RATE,
        LIMIT_ADMISSIONS,
        LIMIT_REFUSALS,
        BUDGET_DECISIONS,
        SPENT,
        BUDGET_ALERTS,
        GUARD_VERDICTS,
        GUARD_SECONDS,
        OUTPUT_WITHHELD,
        OUTPUT_RETRACTED,
        SEMANTIC_VERDICTS,
        SEMANTIC_SECONDS,
        JUDGE_SCORES,
        JUDGE_WEIGHTED,
        JUDGE_WEIGHTS,
        JUDGEMENTS,
        SAMPLES_DROPPED,
        DRIFT,
        ALERTS,
        ALERT_DELIVERIES,
        ACCESS_REFUSED,
        PERMISSION_DENIED,
        AUDIT_EVENTS_DROPPED,
        KEY_SET_FETCHES,
    )
}
