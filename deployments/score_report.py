"""What the judge says of runs, as measurements: every score, and what a weighted mean is made of."""

from collections.abc import Collection, Mapping, Sequence

from services.samples import Sample, Score
from services.telemetry.metrics import (
    JUDGE_FLAGGED,
    JUDGE_SCORES,
    JUDGE_UNSCORED,
    JUDGE_WEIGHTED,
    JUDGE_WEIGHTS,
    Meter,
)


class ScoreReport:
    """Implements `evaluation.evaluator.ScoreObserver`. Only what is `graded`, from 0 to 10, has a mean that says something."""

    def __init__(self, meter: Meter, graded: Collection[str]) -> None:
        self._meter = meter
        self._graded = frozenset(graded)

    def scored(self, sample: Sample, scores: Sequence[Score]) -> None:
        for score in scores:
            labels = {"graph": sample.graph, "criterion": score.criterion}
            if score.value is None:
                self._meter.record(JUDGE_UNSCORED, 1.0, labels)
            elif score.flagged:
                self._meter.record(JUDGE_FLAGGED, 1.0, labels)
            elif score.criterion in self._graded:
                self._grade(score.value, score.weight, labels)

    def _grade(self, value: float, weight: float, labels: Mapping[str, str]) -> None:
        self._meter.record(JUDGE_SCORES, value, labels)
        self._meter.record(JUDGE_WEIGHTED, weight * value, labels)
        self._meter.record(JUDGE_WEIGHTS, weight, labels)
