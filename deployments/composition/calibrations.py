"""What is shown beside a score: how far its judge agrees with people."""

from collections.abc import Callable
from dataclasses import asdict

from evaluation.calibration.record import KnownCalibrations, read_calibrations
from services.samples import Score
from services.types import JsonObject


def published_calibrations() -> Callable[[Score], JsonObject | None]:
    """Return what finds the calibration of a score's judge by its criterion and rubric, None where it is not calibrated."""
    known = KnownCalibrations(read_calibrations())

    def of(score: Score) -> JsonObject | None:
        found = known.of(score.criterion, score.judge_model, score.rubric_version)
        return None if found is None else asdict(found)

    return of
