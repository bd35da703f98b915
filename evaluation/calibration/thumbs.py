"""What users thought of runs that were judged as well: a labelled set of thumbs, up or down."""

from collections import defaultdict
from collections.abc import Iterable

from evaluation.calibration.record import Calibration, calibrated
from evaluation.criteria import CRITERIA
from services.feedback import RatedScore

JUDGED = {name: made for name, make in CRITERIA.items() if (made := make()).needs_judge}


def from_thumbs(rated: Iterable[RatedScore], *, labelled_set: str, measured_on: str) -> list[Calibration]:
    """Calibrate every judge that is among the scores, by criterion, judge and rubric. What code answers is left out."""
    by_judge = defaultdict[tuple[str, str, str], list[RatedScore]](list)
    for one in rated:
        if one.criterion in JUDGED:
            by_judge[one.criterion, one.judge_model, one.rubric_version].append(one)
    found = [
        calibrated(
            [one.value for one in scores],
            [float(one.liked) for one in scores],
            JUDGED[criterion].scale,
            criterion=criterion,
            judge_model=judge_model,
            rubric_version=rubric_version,
            labelled_set=labelled_set,
            measured_on=measured_on,
            thumbs=True,
        )
        for (criterion, judge_model, rubric_version), scores in sorted(by_judge.items())
    ]
    return [one for one in found if one is not None]
