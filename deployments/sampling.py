"""Samples of the runs that end in an agent replica, offered to the judge."""

from deployments.shedding import Shedding
from evaluation.sampler import Sampler, Taken
from evaluation.strata import Strata
from services.errors import Overloaded
from services.resilience.priority import Priority
from services.runs.engine import RunTimes
from services.samples import JUDGED, Drop, Sample, SampleSink, Stratum, ToolUse, last_words, tool_results
from services.telemetry.metrics import SAMPLES_DROPPED, Meter
from services.types import Run, RunOutcome


class RunSampling:
    """Implements `services.runs.engine.RunObserver`. Samples are the first work that an overloaded replica sheds.

    Runs that were cancelled or wait for a person have no end that could be judged.
    """

    def __init__(
        self, samples: SampleSink, meter: Meter, shedding: Shedding, *, sampler: Sampler, strata: Strata
    ) -> None:
        self._samples = samples
        self._meter = meter
        self._shedding = shedding
        self._sampler = sampler
        self._strata = strata

    def run_ended(self, run: Run, outcome: RunOutcome, times: RunTimes) -> None:
        if outcome.status not in JUDGED:
            return
        stratum = self._strata.of(run, outcome, times.duration_s)
        taken = self._sampler.take(run.id, run.graph, run.tenant_id, stratum)
        if taken is not None:
            self._offer(sample_of(run, outcome, times, stratum, taken))

    def _offer(self, sample: Sample) -> None:
        try:
            self._shedding.admit(Priority.EVALUATION)
        except Overloaded:
            self._meter.record(SAMPLES_DROPPED, 1.0, {"reason": Drop.SHED})
        else:
            self._samples.offer(sample)


def sample_of(run: Run, outcome: RunOutcome, times: RunTimes, stratum: Stratum, taken: Taken) -> Sample:
    """Return an ended run as a judge sees it."""
    tools = (message for message in outcome.messages if message.role == "tool")
    return Sample(
        run_id=run.id,
        tenant_id=run.tenant_id,
        graph=run.graph,
        question=last_words(run.messages, "user"),
        answer=last_words(outcome.messages, "assistant"),
        tool_results=tool_results(outcome.messages),
        tool_uses=tuple(ToolUse(name=message.name or "", succeeded=not message.failed) for message in tools),
        status=outcome.status,
        provider=outcome.provider,
        model=outcome.model,
        prompt_version=outcome.prompt_version,
        duration_s=times.duration_s,
        first_text_s=times.first_text_s,
        output_tokens=outcome.usage.output_tokens,
        stratum=stratum,
        base=taken.base,
        weight=taken.weight,
    )
