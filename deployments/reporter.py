"""What is made of a run that ended: its measurements, and for some a sample for the judge."""

from deployments.shedding import Shedding
from evaluation.sampler import sampled
from services.errors import Overloaded
from services.resilience.priority import Priority
from services.runs.engine import RunTimes
from services.samples import Sample, SampleSink
from services.telemetry.metrics import RUN_DURATION, RUNS, SAMPLES_DROPPED, TIME_TO_FIRST_TEXT, TOKENS_PER_RUN, Meter
from services.types import Run, RunOutcome, RunStatus


class RunReporter:
    """Implements `services.runs.engine.RunObserver`. `sample_rate`, of completed runs, may be changed at any time.

    Of runs that the guard flagged every one is a sample, unless the rate is 0. Samples are the first work that an overloaded
    replica sheds.
    """

    def __init__(self, samples: SampleSink, meter: Meter, shedding: Shedding, *, sample_rate: float = 0.05) -> None:
        self._samples = samples
        self._meter = meter
        self._shedding = shedding
        self.sample_rate = sample_rate

    def run_ended(self, run: Run, outcome: RunOutcome, times: RunTimes) -> None:
        self._measure(run, outcome, times)
        rate = 1.0 if run.flagged and self.sample_rate > 0 else self.sample_rate
        if outcome.status is RunStatus.COMPLETED and sampled(run.id, rate):
            self._offer(_sample(run, outcome, rate))

    def _offer(self, sample: Sample) -> None:
        try:
            self._shedding.admit(Priority.EVALUATION)
        except Overloaded:
            self._meter.record(SAMPLES_DROPPED, 1.0, {})
        else:
            self._samples.offer(sample)

    def _measure(self, run: Run, outcome: RunOutcome, times: RunTimes) -> None:
        record, graph = self._meter.record, run.graph
        code = "none" if outcome.failure is None else outcome.failure.code
        record(RUNS, 1.0, {"graph": graph, "status": outcome.status.value, "code": code})
        record(RUN_DURATION, times.duration_s, {"graph": graph})
        if times.first_text_s is not None:
            record(TIME_TO_FIRST_TEXT, times.first_text_s, {"graph": graph})
        labels = {"graph": graph, "provider": outcome.provider or "none"}
        record(TOKENS_PER_RUN, outcome.usage.input_tokens, {**labels, "direction": "input"})
        record(TOKENS_PER_RUN, outcome.usage.output_tokens, {**labels, "direction": "output"})


def _sample(run: Run, outcome: RunOutcome, rate: float) -> Sample:
    said = [message for message in outcome.messages if message.role == "assistant" and message.content]
    return Sample(
        run_id=run.id,
        tenant_id=run.tenant_id,
        graph=run.graph,
        question=next((message.content for message in reversed(run.messages) if message.role == "user"), ""),
        answer=said[-1].content if said else "",
        tool_results=tuple(message.content for message in outcome.messages if message.role == "tool"),
        weight=1.0 / rate,
    )
