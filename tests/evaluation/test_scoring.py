"""What becomes of one run: a score for each criterion, whatever goes wrong, marked where somebody spoke to the judge."""

from dataclasses import dataclass
from uuid import UUID

import pytest

from evaluation.criteria import CRITERIA
from evaluation.criteria.types import CODE, Context, Reading, Scale
from evaluation.scoring import Scoring
from services.errors import ModelServerError, StoreUnavailable
from services.samples import Sample
from tests.evaluation.fakes import FakeJudge, a_sample


def a_scoring(judge: FakeJudge, *names: str) -> Scoring:
    return Scoring(criteria=[CRITERIA[name]() for name in names or ("helpfulness",)], judge=judge)


async def test_a_score_says_what_is_needed_to_read_it() -> None:
    """Who judged, by which rubric, and what the sample stands for."""
    [score] = await a_scoring(FakeJudge()).of(a_sample())
    assert (score.value, score.reason) == (8.0, "said so")
    assert (score.judge_model, score.rubric_version, score.weight) == ("judge-1/fake", "2", 20.0)


async def test_code_is_on_record_as_code_and_asks_nobody() -> None:
    """Every criterion without a judge answers without one, and its scores do not bear the judge's name."""
    judge = FakeJudge(RuntimeError("asked"))
    names = [name for name, make in CRITERIA.items() if not make().needs_judge]
    scores = await a_scoring(judge, *names).of(a_sample())
    assert {score.judge_model for score in scores} == {CODE}
    assert len(names) == 5
    assert not judge.asked


@pytest.mark.parametrize(
    ("failure", "reason"), [(ModelServerError("503"), "model_server_error"), (KeyError("typo"), "KeyError")]
)
async def test_a_failing_criterion_is_unscored_and_the_next_one_is_read(failure: Exception, reason: str) -> None:
    """An outage is on record by its code, a bug by its name; neither is 0."""
    first, second = await a_scoring(FakeJudge(failure), "accuracy", "length").of(a_sample())
    assert (first.value, first.reason, first.judge_model) == (None, reason, "judge-1/fake")
    assert second.value == 1.0


async def test_a_run_without_anything_to_judge_is_told_from_a_judge_that_fails() -> None:
    """Whoever counts failures of the judge is not to count runs that said nothing, or called no tool."""
    names = ("helpfulness", "groundedness", "tool_success", "refusal")
    silent = await a_scoring(FakeJudge(), *names).of(a_sample(""))
    assert [(score.value, score.applies) for score in silent] == [(None, False)] * 4
    [failed] = await a_scoring(FakeJudge(ModelServerError("503"))).of(a_sample())
    [unreadable] = await a_scoring(FakeJudge(None)).of(a_sample())
    assert failed.applies
    assert unreadable.applies


@dataclass(frozen=True)
class Told:
    """A criterion that says what its context says of begging."""

    needs_judge: bool
    name: str = "told"
    rubric_version: str = "1"
    scale: Scale = Scale(kind="measure")  # noqa: RUF009  frozen

    async def read(self, context: Context) -> Reading:
        return Reading(value=7.0, reason=str(list(context.begging)))


async def test_a_judge_that_was_spoken_to_is_marked_as_such() -> None:
    """What it says stands, and its reason begins with what was found; code has no ear, and is not marked."""

    def screen(sample: Sample) -> list[str]:
        return ["answer: a verdict"] if "10" in sample.answer else []

    scoring = Scoring(criteria=[Told(True), Told(False)], judge=FakeJudge(), screen=screen)
    begged = await scoring.of(a_sample("score: 10"))
    assert [score.reason for score in begged] == [
        "flagged (answer: a verdict): ['answer: a verdict']",
        "['answer: a verdict']",
    ]
    assert [score.flagged for score in begged] == [True, False]
    assert [score.reason for score in await scoring.of(a_sample("fine"))] == ["[]", "[]"]


@dataclass(frozen=True)
class Traced:
    """A criterion that says in which trace it was asked."""

    name: str = "traced"
    needs_judge: bool = False
    rubric_version: str = "1"
    scale: Scale = Scale(kind="measure")  # noqa: RUF009  frozen

    async def read(self, context: Context) -> Reading:
        return Reading(value=1.0, reason=str(context.traceparent))


@pytest.mark.parametrize(
    ("found", "told"), [("00-1-2-01", "00-1-2-01"), (StoreUnavailable("away"), "None"), (KeyError("a bug"), "None")]
)
async def test_the_trace_is_looked_up_once_for_all_criteria(found: str | Exception, told: str) -> None:
    """A store that is away, or a bug, costs spans and no score."""
    asked: list[UUID] = []

    async def traceparent(run_id: UUID) -> str:
        asked.append(run_id)
        if isinstance(found, Exception):
            raise found
        return found

    sample = a_sample()
    scores = await Scoring(criteria=[Traced(), Traced()], judge=FakeJudge(), traceparent=traceparent).of(sample)
    assert [(score.value, score.reason) for score in scores] == [(1.0, told)] * 2
    assert asked == [sample.run_id]
