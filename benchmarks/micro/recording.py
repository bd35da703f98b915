"""What a run's measurements cost, up to Ray's exporter: docs/metrics.md has what that adds."""

from collections.abc import Mapping, Sequence

from benchmarks.micro.timing import Loop, Operation
from services.runs.buffer import Timer
from services.telemetry.metrics import (
    AGENT_DECISION_LATENCY,
    BUDGET_DECISIONS,
    GUARD_SECONDS,
    GUARD_VERDICTS,
    LIMIT_ADMISSIONS,
    MODEL_CALLS,
    MODEL_FIRST_CONTENT,
    MODEL_INTER_TOKEN,
    RUN_DURATION,
    RUNS,
    SPENT,
    TIME_TO_FIRST_TEXT,
    TOKENS_PER_RUN,
    UNMEASURED,
    Meter,
    Metric,
)
from services.telemetry.summing import SummingMeter

RECORDING_US = 20.0

OF_A_RUN: Sequence[tuple[Metric, float, Mapping[str, str]]] = (
    (LIMIT_ADMISSIONS, 1.0, {"decided_by": "shared"}),
    (GUARD_VERDICTS, 1.0, {"stage": "input", "verdict": "allow", "rule": "none"}),
    (GUARD_SECONDS, 0.004, {"stage": "input"}),
    (BUDGET_DECISIONS, 1.0, {"decision": "granted", "scope": "none"}),
    (MODEL_CALLS, 1.0, {"provider": "openai", "outcome": "ok"}),
    (MODEL_FIRST_CONTENT, 0.4, {"provider": "openai"}),
    (MODEL_INTER_TOKEN, 0.02, {"provider": "openai"}),
    (SPENT, 0.001, {"graph": "react", "provider": "openai"}),
    (AGENT_DECISION_LATENCY, 0.41, {"graph": "react"}),
    (RUNS, 1.0, {"graph": "react", "status": "completed", "code": "none"}),
    (RUN_DURATION, 3.2, {"graph": "react"}),
    (TIME_TO_FIRST_TEXT, 0.45, {"graph": "react"}),
    (TOKENS_PER_RUN, 800.0, {"graph": "react", "provider": "openai", "direction": "input"}),
    (TOKENS_PER_RUN, 150.0, {"graph": "react", "provider": "openai", "direction": "output"}),
)
"""What a run of one model call leaves behind."""


def operations() -> Sequence[Operation]:
    return (
        Operation(
            name="the measurements of a run, before the exporter",
            measured=_loop(SummingMeter(UNMEASURED, call_later=_never)),
            baseline=_loop(UNMEASURED),
            times=500,
            limit_us=RECORDING_US,
        ),
    )


class _Never:
    def cancel(self) -> None: ...


def _never(_delay_s: float, _callback: object) -> Timer:
    return _Never()


def _loop(meter: Meter) -> Loop:
    async def record(times: int) -> None:
        for _ in range(times):
            for metric, value, labels in OF_A_RUN:
                meter.record(metric, value, labels)

    return record
