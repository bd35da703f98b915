"""What a run that ended leaves behind: measurements with bounded labels, and a sample at the set rate."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from deployments.knobs import AgentKnobs, LivePrompts
from deployments.reporter import RunReporter
from deployments.shedding import Shedding
from services.errors import ConfigurationError, ModelTimeout
from services.resilience.overload import LoadMonitor
from services.runs.engine import RunTimes
from services.samples import Sample
from services.telemetry.metrics import RUN_DURATION, RUNS, TIME_TO_FIRST_TEXT, TOKENS_PER_RUN, Metric
from services.types import Message, RunOutcome, RunStatus, Usage
from tests.services.resilience.timeline import Timeline
from tests.services.runs.fakes import a_run

TIMES = RunTimes(duration_s=2.0, first_text_s=0.5)
DONE = RunOutcome(
    status=RunStatus.COMPLETED,
    messages=(
        Message(role="tool", content="7006652", tool_call_id="1"),
        Message(role="assistant", content="It is 7006652."),
    ),
    usage=Usage(input_tokens=10, output_tokens=5, model_calls=2),
    provider="main",
    finish_reason="stop",
)


@dataclass
class FakeMeter:
    seen: list[tuple[str, float, Mapping[str, str]]] = field(default_factory=list)

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        assert set(labels) == set(metric.labels)
        self.seen.append((metric.name, value, labels))


@dataclass
class FakeSamples:
    offered: list[Sample] = field(default_factory=list)

    def offer(self, sample: Sample) -> None:
        self.offered.append(sample)


def report(
    outcome: RunOutcome, *, rate: float = 1.0, times: RunTimes = TIMES, flagged: bool = False
) -> tuple[FakeMeter, FakeSamples]:
    meter, samples = FakeMeter(), FakeSamples()
    reporter = RunReporter(samples, meter, Shedding(LoadMonitor(), meter), sample_rate=rate)
    reporter.run_ended(a_run(flagged=flagged), outcome, times)
    return meter, samples


def test_a_completed_run_is_measured_and_sampled() -> None:
    """Every metric of a run is recorded with its labels; the sample holds question, answer and tool results."""
    meter, samples = report(DONE)
    assert {name for name, _, _ in meter.seen} == {
        RUNS.name,
        RUN_DURATION.name,
        TIME_TO_FIRST_TEXT.name,
        TOKENS_PER_RUN.name,
    }
    [sample] = samples.offered
    assert (sample.question, sample.answer, sample.tool_results) == ("hello", "It is 7006652.", ("7006652",))
    assert sample.weight == 1.0


def test_a_flagged_run_is_always_judged() -> None:
    """Each of them is a sample that stands for itself, at any rate but 0, by which nothing is judged."""
    for _ in range(20):
        [sample] = report(DONE, rate=1e-9, flagged=True)[1].offered
        assert sample.weight == 1.0
    assert report(DONE, rate=1e-9)[1].offered == []
    assert report(DONE, rate=0.0, flagged=True)[1].offered == []


def test_a_failed_run_is_measured_by_its_code_and_not_judged() -> None:
    """A failure has its code as a label, and no quality to score."""
    failure = ModelTimeout("late").to_failure()
    outcome = RunOutcome(status=RunStatus.FAILED, messages=(), usage=Usage(), failure=failure)
    meter, samples = report(outcome, times=RunTimes(duration_s=20.0, first_text_s=None))
    assert ("mainstay_runs", 1.0, {"graph": "react", "status": "failed", "code": "model_timeout"}) in meter.seen
    assert "mainstay_time_to_first_text_seconds" not in {name for name, _, _ in meter.seen}
    assert samples.offered == []


async def test_an_overloaded_replica_judges_nothing() -> None:
    """Samples are the first work to be shed; each one that is dropped is counted."""
    meter, samples, time = FakeMeter(), FakeSamples(), Timeline()
    shedding = Shedding(LoadMonitor(clock=time, call_later=time.call_later), meter)
    shedding.start()
    time.stall(10.0)
    await time.advance(0.0)
    RunReporter(samples, meter, shedding, sample_rate=1.0).run_ended(a_run(), DONE, TIMES)
    assert samples.offered == []
    assert ("mainstay_requests_shed", 1.0, {"priority": "evaluation"}) in meter.seen
    assert ("mainstay_samples_dropped", 1.0, {}) in meter.seen


def test_a_rate_of_zero_samples_nothing() -> None:
    """Sampling can be switched off live."""
    assert report(DONE, rate=0.0)[1].offered == []


def test_prompts_are_overlaid_by_role_and_fall_back() -> None:
    """A live prompt replaces one role of one graph; taking it away brings the configured one back."""
    prompts = LivePrompts({"react": {"system": "old", "final": "f"}}, {"react": ("system", "final")})
    prompts.overlay({"react": {"system": "new"}})
    assert prompts("react") == {"system": "new", "final": "f"}
    prompts.overlay({})
    assert prompts("react") == {"system": "old", "final": "f"}


def test_wrong_knobs_are_refused_and_named() -> None:
    """A misspelt knob, a rate over one, or prompts of a graph that is not served change nothing."""
    with pytest.raises(ConfigurationError, match="sample_rat"):
        AgentKnobs.parse({"sample_rat": 1})
    with pytest.raises(ConfigurationError, match="sample_rate"):
        AgentKnobs.parse({"sample_rate": 2})
    with pytest.raises(ConfigurationError, match="nobody"):
        LivePrompts({"react": {}}, {"react": ("system", "final")}).overlay({"nobody": {"system": "x"}})


def test_a_misspelt_prompt_role_is_refused_and_the_prompts_stay() -> None:
    """A role that the graph does not know is named with those it does; one that it could have is taken."""
    prompts = LivePrompts({"react": {"system": "old"}}, {"react": ("system", "final")})
    with pytest.raises(ConfigurationError, match=r"prompts\.react\.sytem: the roles are system, final"):
        prompts.overlay({"react": {"sytem": "new", "final": "f"}})
    assert prompts("react") == {"system": "old"}
    prompts.overlay({"react": {"final": "f"}})
    assert prompts("react") == {"system": "old", "final": "f"}
