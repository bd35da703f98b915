"""Thumbs of users as a labelled set."""

from evaluation.calibration.thumbs import from_thumbs
from services.feedback import RatedScore


def rated(
    value: float | None, *, liked: bool, criterion: str = "helpfulness", judge: str = "j/structured"
) -> RatedScore:
    return RatedScore(criterion=criterion, judge_model=judge, rubric_version="2", value=value, liked=liked)


def test_every_judge_is_calibrated_by_itself_and_code_is_not() -> None:
    """By criterion, judge and rubric; what was not scored is counted, and who scored nothing has no calibration."""
    found = from_thumbs(
        [
            rated(9.0, liked=True),
            rated(2.0, liked=False),
            rated(None, liked=True),
            rated(8.0, liked=False, judge="j/one_token"),
            rated(0.0, liked=True, criterion="safety"),
            rated(None, liked=True, criterion="accuracy"),
            rated(3.5, liked=True, criterion="latency", judge="code"),
            rated(1.0, liked=True, criterion="of another release"),
        ],
        labelled_set="feedback",
        measured_on="2026-11-29",
    )
    assert [(one.criterion, one.judge_model, one.n, one.unscored, one.share) for one in found] == [
        ("helpfulness", "j/one_token", 1, 0, 0.0),
        ("helpfulness", "j/structured", 2, 1, 1.0),
        ("safety", "j/structured", 1, 0, 1.0),
    ]
    assert {(one.labelled_set, one.measured_on, one.labels) for one in found} == {
        ("feedback", "2026-11-29", ("down", "up"))
    }
