"""What is measured of a run that ended, with bounded labels; and live prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from deployments.knobs import AgentKnobs, LivePrompts
from deployments.reporter import RunReporter
from services.errors import ConfigurationError, ModelTimeout
from services.runs.engine import RunTimes
from services.telemetry.metrics import RUN_DURATION, RUNS, TIME_TO_FIRST_TEXT, TOKENS_PER_RUN, Metric
from services.types import Message, RunOutcome, RunStatus, Usage
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


def report(outcome: RunOutcome, *, times: RunTimes = TIMES) -> FakeMeter:
    meter = FakeMeter()
    RunReporter(meter).run_ended(a_run(), outcome, times)
    return meter


def test_a_completed_run_is_measured() -> None:
    """Every metric of a run is recorded with its labels."""
    assert {name for name, _, _ in report(DONE).seen} == {
        RUNS.name,
        RUN_DURATION.name,
        TIME_TO_FIRST_TEXT.name,
        TOKENS_PER_RUN.name,
    }


def test_a_failed_run_is_measured_by_its_code() -> None:
    """A failure has its code as a label."""
    failure = ModelTimeout("late").to_failure()
    outcome = RunOutcome(status=RunStatus.FAILED, messages=(), usage=Usage(), failure=failure)
    meter = report(outcome, times=RunTimes(duration_s=20.0, first_text_s=None))
    assert ("mainstay_runs", 1.0, {"graph": "react", "status": "failed", "code": "model_timeout"}) in meter.seen
    assert "mainstay_time_to_first_text_seconds" not in {name for name, _, _ in meter.seen}


def test_prompts_are_overlaid_by_role_and_fall_back() -> None:
    """A live prompt replaces one role of one graph; taking it away brings the configured one back."""
    prompts = LivePrompts({"react": {"system": "old", "final": "f"}}, {"react": ("system", "final")})
    prompts.overlay({"react": {"system": "new"}})
    assert prompts("react") == {"system": "new", "final": "f"}
    prompts.overlay({})
    assert prompts("react") == {"system": "old", "final": "f"}


def test_prompts_have_a_version_that_their_texts_make() -> None:
    """Another text, or the same one in another role, has another; what was there before has its own again."""
    roles = {"react": ("system", "final")}
    prompts = LivePrompts({"react": {"system": "old", "final": "f"}}, roles)
    first = prompts.version("react")
    prompts.overlay({"react": {"system": "new"}})
    second = prompts.version("react")
    prompts.overlay({"react": {"system": "f", "final": "old"}})
    assert len({first, second, prompts.version("react"), ""}) == 4
    prompts.overlay({})
    assert prompts.version("react") == first
    assert LivePrompts({"react": {"final": "f", "system": "old"}}, roles).version("react") == first


def test_wrong_knobs_are_refused_and_named() -> None:
    """A misspelt knob, or prompts of a graph that is not served, change nothing."""
    with pytest.raises(ConfigurationError, match="samplin"):
        AgentKnobs.parse({"samplin": {}})
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
