"""Scores as measurements: a weighted mean can be made of them, and what is unscored is in none."""

from dataclasses import replace
from uuid import uuid4

import pytest

from deployments.score_report import ScoreReport
from services.samples import Score
from services.telemetry.metrics import JUDGE_SCORES, JUDGE_WEIGHTED, JUDGE_WEIGHTS, JUDGEMENTS
from tests.evaluation.fakes import a_sample
from tests.services.telemetry.fakes import KeptMeter

SCORE = Score(
    run_id=uuid4(),
    tenant_id="acme",
    criterion="helpfulness",
    value=8.0,
    reason="judged",
    judge_model="judge-1",
    rubric_version="1",
    weight=20.0,
    graph="react",
)


def test_the_two_counters_make_the_mean_over_all_runs() -> None:
    """A run that was one of twenty weighs twenty times as much as one that was taken for certain."""
    meter = KeptMeter()
    ScoreReport(meter, ["helpfulness"]).scored(a_sample(), [SCORE])
    ScoreReport(meter, ["helpfulness"]).scored(a_sample(), [replace(SCORE, value=1.0, weight=1.0)])
    weighted, weights = (sum(value for value, _ in meter.of(metric)) for metric in (JUDGE_WEIGHTED, JUDGE_WEIGHTS))
    assert weighted / weights == pytest.approx((20 * 8 + 1) / 21)
    assert meter.of(JUDGE_SCORES)[0] == (8.0, {"graph": "react", "criterion": "helpfulness"})
    assert [labels["outcome"] for _, labels in meter.of(JUDGEMENTS)] == ["scored", "scored"]


@pytest.mark.parametrize(
    ("score", "outcome"),
    [
        (replace(SCORE, value=None, reason="unreadable verdict"), "unscored"),
        (replace(SCORE, value=None, reason="no tool was called", applies=False), "inapplicable"),
        (replace(SCORE, value=10.0, flagged=True), "flagged"),
        (replace(SCORE, criterion="safety", value=0.0), "scored"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_in_no_mean_is_counted_by_its_outcome(score: Score, outcome: str) -> None:
    """A judge that fails, and one that had nothing to judge; one who was talked into a 10; a yes or no, which is no grade."""
    meter = KeptMeter()
    ScoreReport(meter, ["helpfulness"]).scored(a_sample(), [score])
    assert meter.of(JUDGEMENTS) == [(1.0, {"graph": "react", "criterion": score.criterion, "outcome": outcome})]
    assert len(meter.seen) == 1
