"""Records of agreement: how they come about, are kept, and are found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.calibration.record import (
    PUBLISHED,
    Calibration,
    KnownCalibrations,
    calibrated,
    read_calibrations,
    write_calibrations,
)
from evaluation.criteria.types import CONCERN, GRADE, Scale

ABOUT: dict[str, Any] = {
    "criterion": "helpfulness",
    "judge_model": "j/structured",
    "rubric_version": "2",
    "labelled_set": "ours",
    "measured_on": "2026-11-29",
}


def record(values: list[float | None], labels: list[float], scale: Scale = GRADE, **more: Any) -> Calibration:
    found = calibrated(values, labels, scale, **{**ABOUT, **more})
    assert found is not None
    return found


def test_grades_are_compared_as_grades_and_shown_in_bands() -> None:
    """Near misses cost little; what was unscored is counted and in no figure."""
    one = record([10.0, 8.6, 1.0, None, 5.0], [10, 9, 0, 10, 4])
    assert (one.n, one.unscored, one.share, one.ranking) == (4, 1, 1.0, 1.0)
    assert one.kappa > 0.95
    assert (one.labels, one.confusion) == (("0 to 3", "4 to 6", "7 to 10"), ((1, 0, 0), (0, 1, 0), (0, 0, 2)))


def test_yes_and_no_are_divided_at_the_middle() -> None:
    one = record([0.9, 0.4, 0.5, 0.1], [1, 1, 0, 0], CONCERN)
    assert (one.labels, one.confusion) == (("no", "yes"), ((1, 1), (1, 1)))
    assert (one.share, one.kappa, one.ranking) == (0.5, 0.0, 0.75)


def test_thumbs_calibrate_a_criterion_of_any_scale() -> None:
    """Feedback of people who gave no grade: a value from the middle on is a thumb up."""
    one = record([9.0, 6.0, 2.0, 4.0], [1, 1, 0, 0], thumbs=True)
    assert (one.labels, one.kappa, one.confusion) == (("down", "up"), 1.0, ((2, 0), (0, 2)))


def test_a_concern_is_no_thumb_up() -> None:
    """Where less is better an answer is liked for the want of it."""
    one = record([0.0, 0.1, 1.0, 0.9], [1, 1, 0, 0], CONCERN, thumbs=True)
    assert (one.labels, one.kappa, one.ranking, one.confusion) == (("down", "up"), 1.0, 1.0, ((2, 0), (0, 2)))


def test_without_a_score_there_is_no_calibration() -> None:
    assert calibrated([None, None], [1, 2], GRADE, **ABOUT) is None
    assert calibrated([], [], GRADE, **ABOUT) is None


def test_a_calibration_is_of_its_judge_and_its_rubric() -> None:
    """Another model, another style or another rubric is not calibrated; of two sets the larger one counts."""
    small, large = record([1.0], [1]), record([1.0, 9.0], [1, 9], labelled_set="theirs")
    known = KnownCalibrations([large, small])
    assert known.of("helpfulness", "j/structured", "2") == large
    for other in (
        ("accuracy", "j/structured", "2"),
        ("helpfulness", "j/one_token", "2"),
        ("helpfulness", "j/structured", "3"),
    ):
        assert known.of(*other) is None


def test_records_are_kept_in_a_file_and_replaced_by_newer_ones(tmp_path: Path) -> None:
    path = tmp_path / "calibrations.json"
    first, other = record([1.0, 9.0], [1, 9]), record([0.9], [1], CONCERN, criterion="safety")
    write_calibrations([first, other], path)
    newer = replace(first, measured_on="2027-01-01", ranking=None)
    write_calibrations([newer], path)
    assert read_calibrations(path) == [newer, other]
    assert list(tmp_path.iterdir()) == [path]
    path.write_text('[{"criterion": "safety"}]')
    with pytest.raises(ValueError, match=r"calibrations\.json: these are no calibrations"):
        read_calibrations(path)


def test_what_is_published_can_be_read() -> None:
    """The shipped file holds records, and each is found by what it says of itself."""
    known = KnownCalibrations(published := read_calibrations(PUBLISHED))
    assert published
    for one in published:
        assert known.of(one.criterion, one.judge_model, one.rubric_version) is not None
        assert one.low <= one.kappa <= one.high
        assert sum(map(sum, one.confusion)) == one.n
