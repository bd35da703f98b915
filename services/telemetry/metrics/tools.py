"""Tools."""

from services.telemetry.metrics.meter import SECONDS, Metric

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
