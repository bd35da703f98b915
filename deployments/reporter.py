"""What is measured of a run that ended."""

from services.runs.engine import RunTimes
from services.telemetry.metrics import RUN_DURATION, RUNS, TIME_TO_FIRST_TEXT, TOKENS_PER_RUN, Meter
from services.types import Run, RunOutcome


class RunReporter:
    """Implements `services.runs.engine.RunObserver`."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def run_ended(self, run: Run, outcome: RunOutcome, times: RunTimes) -> None:
        record, graph = self._meter.record, run.graph
        code = "none" if outcome.failure is None else outcome.failure.code
        record(RUNS, 1.0, {"graph": graph, "status": outcome.status.value, "code": code})
        record(RUN_DURATION, times.duration_s, {"graph": graph})
        if times.first_text_s is not None:
            record(TIME_TO_FIRST_TEXT, times.first_text_s, {"graph": graph})
        labels = {"graph": graph, "provider": outcome.provider or "none"}
        record(TOKENS_PER_RUN, outcome.usage.input_tokens, {**labels, "direction": "input"})
        record(TOKENS_PER_RUN, outcome.usage.output_tokens, {**labels, "direction": "output"})
