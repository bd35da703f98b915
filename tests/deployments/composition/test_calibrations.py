"""What clients see beside a score."""

from typing import Any
from uuid import uuid4

import pytest

from deployments.composition.calibrations import published_calibrations
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
    found = published_calibrations()(score)
    assert (found is None) is bool(other)
    if found is not None:
        assert found["n"] == 56
        assert found["low"] <= found["kappa"] <= found["high"] < 0.5
