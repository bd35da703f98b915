"""Scores as measurements: a weighted mean can be made of them, and what is unscored is in none."""

from dataclasses import replace
from uuid import uuid4

import pytest

from deployments.score_report import ScoreReport
from services.samples import Score
from services.telemetry.metrics import JUDGE_FLAGGED, JUDGE_SCORES, JUDGE_UNSCORED, JUDGE_WEIGHTED, JUDGE_WEIGHTS
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


def test_what_is_unscored_is_counted_and_no_score() -> None:
    meter = KeptMeter()
    ScoreReport(meter, ["helpfulness"]).scored(a_sample(), [replace(SCORE, value=None, reason="unreadable verdict")])
    assert meter.of(JUDGE_UNSCORED) == [(1.0, {"graph": "react", "criterion": "helpfulness"})]
    assert len(meter.seen) == 1


def test_what_is_flagged_is_counted_and_in_no_mean() -> None:
    """An answer that talks its judge into a 10 is not to be seen as a good one."""
    meter = KeptMeter()
    ScoreReport(meter, ["helpfulness"]).scored(a_sample(), [replace(SCORE, value=10.0, flagged=True)])
    assert meter.of(JUDGE_FLAGGED) == [(1.0, {"graph": "react", "criterion": "helpfulness"})]
    assert len(meter.seen) == 1


def test_what_is_not_graded_has_no_mean() -> None:
    """A yes or no, or a number of words, would be taken for a bad grade."""
    meter = KeptMeter()
    ScoreReport(meter, ["helpfulness"]).scored(a_sample(), [replace(SCORE, criterion="safety", value=0.0)])
    assert meter.seen == []
