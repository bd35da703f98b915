"""Every metric, declared once: its name with its unit, what it means, its labels and their bounds.

Recorded per run or per model call, never per token. Labels are bounded by configuration (graphs, providers, outcomes); a user,
a thread or a run is never a label. Ray's exporter adds the prefix `ray_`, the suffix `_total` to counters, and the deployment
and replica as labels. docs/metrics.md is the same catalogue for readers.
"""

from collections.abc import Mapping

from services.telemetry.metrics.access import ACCESS_REFUSED, AUDIT_EVENTS_DROPPED, KEY_SET_FETCHES, PERMISSION_DENIED
from services.telemetry.metrics.evaluation import SAMPLES_DROPPED
from services.telemetry.metrics.guardrails import OUTPUT_RETRACTED, OUTPUT_WITHHELD, SEMANTIC_SECONDS, SEMANTIC_VERDICTS
from services.telemetry.metrics.limits import BUDGET_ALERTS, LIMIT_REFUSALS
from services.telemetry.metrics.meter import UNMEASURED as UNMEASURED
from services.telemetry.metrics.meter import Meter as Meter
from services.telemetry.metrics.meter import Metric
from services.telemetry.metrics.models import (
    BREAKER_CHANGES,
    BREAKER_STATE,
    MODEL_CALLS,
    MODEL_FAIL_OVERS,
    MODEL_FIRST_CONTENT,
    MODEL_LIMIT,
    MODEL_RETRIES,
)
from services.telemetry.metrics.runs import (
    REQUESTS_SHED,
    RUN_DURATION,
    RUNS,
    TIME_TO_FIRST_TEXT,
    TOKENS_PER_RUN,
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
        REQUESTS_SHED,
        WEBHOOK_ATTEMPTS,
        MODEL_CALLS,
        MODEL_FIRST_CONTENT,
        MODEL_RETRIES,
        MODEL_FAIL_OVERS,
        MODEL_LIMIT,
        BREAKER_STATE,
        BREAKER_CHANGES,
        TOOL_CALLS,
        TOOL_CALL_DURATION,
        TOOL_CALL_SUCCESS_RATE,
        LIMIT_REFUSALS,
        BUDGET_ALERTS,
        OUTPUT_WITHHELD,
        OUTPUT_RETRACTED,
        SEMANTIC_VERDICTS,
        SEMANTIC_SECONDS,
        SAMPLES_DROPPED,
        ACCESS_REFUSED,
        PERMISSION_DENIED,
        AUDIT_EVENTS_DROPPED,
        KEY_SET_FETCHES,
    )
}
