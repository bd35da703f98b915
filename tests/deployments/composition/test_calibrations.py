"""What clients see beside a score."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from configs.settings import load
from deployments.composition.calibrations import published_calibrations
from deployments.composition.check import check
from evaluation.calibration.record import PUBLISHED, read_calibrations, write_calibrations
from services.errors import ConfigurationError
from services.samples import Score

EMBEDDED: dict[str, Any] = {
    "criterion": "helpfulness",
    "judge_model": "Qwen2.5-Coder-0.5B-Instruct/one_token",
    "rubric_version": "2",
}


@pytest.mark.parametrize(
    "other", [{}, {"criterion": "length"}, {"judge_model": "else/structured"}, {"rubric_version": "1"}]
)
def test_a_score_is_calibrated_where_its_judge_was_measured(other: dict[str, Any]) -> None:
    """The published figures are found by criterion, judge and rubric together; of any other there are none."""
    score = Score(run_id=uuid4(), tenant_id="t", value=5.0, reason="", graph="react", **{**EMBEDDED, **other})
    found = published_calibrations(None)(score)
    assert (found is None) is bool(other)
    if found is not None:
        assert found["n"] == 56
        assert found["low"] <= found["kappa"] <= found["high"] < 0.5


def test_an_operators_own_calibrations_are_shown_beside_the_shipped_ones(tmp_path: Path) -> None:
    """Of one judge that of the most items, whosever it is; a file that cannot be read is told as the application is built."""
    [shipped] = [one for one in read_calibrations(PUBLISHED) if one.criterion == "helpfulness"]
    own = [replace(shipped, labelled_set="feedback", n=400), replace(shipped, judge_model="gpt/structured", n=1)]
    write_calibrations(own, file := tmp_path / "own.json")
    score = Score(run_id=uuid4(), tenant_id="t", value=5.0, reason="", graph="react", **EMBEDDED)
    shown = published_calibrations(str(file))
    assert (shown(score) or {})["n"] == 400
    assert (shown(replace(score, judge_model="gpt/structured")) or {})["n"] == 1
    with pytest.raises(ConfigurationError, match=r"evaluator\.calibrations: .*absent\.json"):
        check(load([], {"evaluator": {"calibrations": str(tmp_path / "absent.json")}}))
