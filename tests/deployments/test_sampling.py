"""Which of the runs that end become samples, what is in one, and what is given up first."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from configs.settings import load
from deployments.composition.sampling import LiveSampling
from deployments.sampling import RunSampling
from deployments.shedding import Shedding
from evaluation.sampler import Sampler, SamplingPolicy
from evaluation.strata import LongPolicy, Strata
from services.errors import ConfigurationError, ModelTimeout
from services.resilience.overload import LoadMonitor
from services.runs.engine import RunTimes
from services.samples import MAX_TEXT_CHARS, Sample, Stratum, ToolUse
from services.types import Message, RunOutcome, RunStatus, Usage
from tests.deployments.test_reporter import FakeMeter
from tests.services.resilience.timeline import Timeline
from tests.services.runs.fakes import a_run

TIMES = RunTimes(duration_s=2.0, first_text_s=0.5)
DONE = RunOutcome(
    status=RunStatus.COMPLETED,
    messages=(
        Message(role="tool", content="No such file.", tool_call_id="1", name="read", failed=True),
        Message(role="tool", content="7006652", tool_call_id="2", name="calculator"),
        Message(role="assistant", content="It is 7006652."),
    ),
    usage=Usage(input_tokens=10, output_tokens=5, model_calls=2),
    provider="main",
    model="small",
    prompt_version="p1",
    finish_reason="stop",
)
FAILED = RunOutcome(status=RunStatus.FAILED, messages=(), usage=Usage(), failure=ModelTimeout("late").to_failure())


@dataclass
class FakeSamples:
    offered: list[Sample] = field(default_factory=list)

    def offer(self, sample: Sample) -> None:
        self.offered.append(sample)


def offered(outcome: RunOutcome, *, rate: float, **run: Any) -> list[Sample]:
    samples, meter = FakeSamples(), FakeMeter()
    sampler, strata = Sampler(SamplingPolicy(base_rate=rate)), Strata(LongPolicy())
    sampling = RunSampling(samples, meter, Shedding(LoadMonitor(), meter), sampler=sampler, strata=strata)
    sampling.run_ended(a_run(**run), outcome, TIMES)
    return samples.offered


def test_a_sample_holds_what_was_said_and_what_made_it() -> None:
    """Question, answer, tools with their results, times, and by what the run was answered."""
    [sample] = offered(DONE, rate=1.0)
    assert (sample.question, sample.answer) == ("hello", "It is 7006652.")
    assert sample.tool_results == ("No such file.", "7006652")
    assert sample.tool_uses == (ToolUse(name="read", succeeded=False), ToolUse(name="calculator", succeeded=True))
    assert (sample.status, sample.provider, sample.model) == (RunStatus.COMPLETED, "main", "small")
    assert (sample.prompt_version, sample.output_tokens) == ("p1", 5)
    assert (sample.duration_s, sample.first_text_s) == (2.0, 0.5)
    assert (sample.stratum, sample.base, sample.weight) == (Stratum.ORDINARY, True, 1.0)


@pytest.mark.parametrize("text", ["question", "answer", "tools"])
def test_a_sample_is_bounded(text: str) -> None:
    """However much was said, a queue of samples holds no more than so much of each; of tools it is what came last."""
    long, half = "x" * 2 * MAX_TEXT_CHARS, "y" * (MAX_TEXT_CHARS // 2)
    tools = [Message(role="tool", content=content, name="t") for content in ("z", long, half)]
    messages = {"question": (), "answer": (Message(role="assistant", content=long),), "tools": tuple(tools)}[text]
    outcome = RunOutcome(status=RunStatus.COMPLETED, messages=messages, usage=Usage())
    [sample] = offered(outcome, rate=1.0, messages=(Message(role="user", content=long),))
    assert max(map(len, (sample.question, sample.answer))) <= MAX_TEXT_CHARS
    if text == "tools":
        assert [len(result) for result in sample.tool_results] == [MAX_TEXT_CHARS // 2, MAX_TEXT_CHARS // 2]


@pytest.mark.parametrize(
    ("outcome", "run", "stratum"),
    [(DONE, {"flagged": True}, Stratum.FLAGGED), (FAILED, {}, Stratum.FAILED)],
    ids=["flagged", "failed"],
)
def test_flagged_and_failed_runs_are_always_judged(outcome: RunOutcome, run: Any, stratum: Stratum) -> None:
    """Each of them stands for itself, at any base rate but 0, by which nothing is judged."""
    for _ in range(20):
        [sample] = offered(outcome, rate=1e-9, **run)
        assert (sample.stratum, sample.base, sample.weight) == (stratum, False, 1.0)
    assert offered(DONE, rate=1e-9) == []
    assert offered(outcome, rate=0.0, **run) == []


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.INTERRUPTED])
def test_a_run_without_an_end_of_its_own_is_not_judged(status: RunStatus) -> None:
    """Its client stopped it, or a person has to answer first."""
    assert offered(RunOutcome(status=status, messages=(), usage=Usage()), rate=1.0, flagged=True) == []


async def test_an_overloaded_replica_judges_nothing() -> None:
    """Samples are the first work to be shed; each one that is dropped is counted."""
    meter, samples, time = FakeMeter(), FakeSamples(), Timeline()
    shedding = Shedding(LoadMonitor(clock=time, call_later=time.call_later), meter)
    shedding.start()
    time.stall(10.0)
    await time.advance(0.0)
    sampler, strata = Sampler(SamplingPolicy(base_rate=1.0)), Strata(LongPolicy())
    RunSampling(samples, meter, shedding, sampler=sampler, strata=strata).run_ended(a_run(), DONE, TIMES)
    assert samples.offered == []
    assert ("mainstay_requests_shed", 1.0, {"priority": "evaluation"}) in meter.seen
    assert ("mainstay_samples_dropped", 1.0, {"reason": "shed"}) in meter.seen


def test_sampling_changes_live_over_the_settings() -> None:
    """What is not named stays as it was configured."""
    live = LiveSampling(load(overrides={"evaluator": {"sampling": {"failed": {"per_minute": 7}}}}), "agent")
    live.configure(live.laid_over({"base_rate": 0.5, "rates": [{"tenant": "acme", "graph": "react", "rate": 0.0}]}))
    changed = live.laid_over({"rates": [{"tenant": "acme", "graph": "react", "rate": 0.25}], "long": {"quantile": 0.9}})
    assert (changed.policy.base("react", "acme"), changed.policy.base("react", "other")) == (0.25, 0.05)
    assert (changed.policy.of(Stratum.FAILED).per_minute, changed.long.quantile) == (7.0, 0.9)
    assert live.sampler.rate("react", "acme", Stratum.FLAGGED) == 0.0
    assert live.sampler.rate("supervisor", "acme", Stratum.ORDINARY) == 0.5


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"base_rate": 2}, "sampling.base_rate"),
        ({"base_rat": 1}, "sampling.base_rat"),
        ({"rates": [{"graph": "nobody", "rate": 0.1}]}, "sampling.rates.0.graph"),
        ({"failed": {"per_minute": 0}}, "sampling.failed.per_minute"),
    ],
)
def test_sampling_that_cannot_be_is_refused_and_named(changed: dict[str, Any], key: str) -> None:
    """The message has the key, and what was in force stays."""
    with pytest.raises(ConfigurationError, match=f"user_config of agent: {key}"):
        LiveSampling(load(), "agent").laid_over(changed)
