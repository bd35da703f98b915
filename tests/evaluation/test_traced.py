"""Judging in the run's own trace: below the attempt, with the score as an event, and never in the judge's way."""

from dataclasses import replace
from uuid import uuid4

import pytest

from evaluation.criteria.types import GRADE, Context, Reading
from evaluation.traced import TracedCriterion
from services.errors import ModelServerError
from services.samples import Sample
from services.telemetry import genai
from tests.evaluation.fakes import FakeJudge
from tests.services.telemetry.traced import NOTHING_BUT, Kept, a_tracer

ATTEMPT = "00-0af7651916cd43dd8448eb211c80319c-00000000000000aa-01"
SAMPLE = Sample(run_id=uuid4(), tenant_id="acme", graph="react", question="why?", answer="because")
CONTEXT = Context(sample=SAMPLE, judge=FakeJudge(), traceparent=ATTEMPT)


class Likes:
    name, rubric_version, scale, needs_judge = "liking", "1", GRADE, True

    def __init__(self, value: float | None = 8.0, error: Exception | None = None) -> None:
        self._reading, self._error = Reading(value=value, reason="it says why"), error

    async def read(self, context: Context) -> Reading:
        if self._error is not None:
            raise self._error
        return self._reading


async def test_a_score_is_in_the_trace_of_its_run() -> None:
    """Its span is below the attempt that it judges; the judge's reason is not in it."""
    kept = Kept()
    await TracedCriterion(Likes(), a_tracer("evaluator", kept, policy=NOTHING_BUT)).read(CONTEXT)
    span = kept.one("evaluate liking")
    assert (kept.traces[0].trace_id, span.parent_id) == (ATTEMPT[3:35], "00000000000000aa")
    [event] = span.events or ()
    assert (event.name, event.attributes) == (
        genai.EVALUATION_RESULT,
        {genai.EVALUATION_NAME: "liking", genai.EVALUATION_SCORE_VALUE: 8.0},
    )


async def test_a_judge_that_was_spoken_to_is_marked_in_the_trace_too() -> None:
    kept = Kept()
    begged = replace(CONTEXT, begging=("answer: asks for a grade",))
    await TracedCriterion(Likes(), a_tracer("evaluator", kept)).read(begged)
    [event] = kept.one("evaluate liking").events or ()
    assert event.attributes[genai.EVALUATION_FLAGGED] is True


async def test_a_criterion_that_fails_fails_its_span() -> None:
    kept = Kept()
    criterion = TracedCriterion(Likes(error=ModelServerError("down")), a_tracer("evaluator", kept))
    with pytest.raises(ModelServerError):
        await criterion.read(CONTEXT)
    assert kept.one("evaluate").error == ModelServerError.code


async def test_a_run_without_a_trace_is_judged_without_one() -> None:
    kept = Kept()
    context = replace(CONTEXT, traceparent=None)
    assert (await TracedCriterion(Likes(None), a_tracer("evaluator", kept)).read(context)).value is None
    assert kept.traces == []
