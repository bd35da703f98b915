"""What is shown beside a score, or a mean of scores: how far its judge agrees with people."""

from collections.abc import Callable
from dataclasses import asdict

from configs.settings import CONFIGS
from evaluation.calibration.record import known_calibrations
from services.errors import ConfigurationError
from services.samples import Score, ScoreMean
from services.types import JsonObject


def published_calibrations(file: str | None) -> Callable[[Score | ScoreMean], JsonObject | None]:
    """Return what finds the calibration of a score's judge by its criterion and rubric, None where it is not calibrated.

    `file` has an operator's own, beside the shipped ones; its path is absolute, or from where the code is. Raises
    ConfigurationError where it cannot be read.
    """
    try:
        known = known_calibrations(CONFIGS.parent / file if file else None)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"evaluator.calibrations: {error}", param="evaluator.calibrations") from None

    def of(score: Score | ScoreMean) -> JsonObject | None:
        found = known.of(score.criterion, score.judge_model, score.rubric_version)
        return None if found is None else asdict(found)

    return of
