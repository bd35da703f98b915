"""What the judge says of runs, as measurements: every score, and what a weighted mean is made of."""

from collections.abc import Sequence

from services.samples import Sample, Score
from services.telemetry.metrics import JUDGE_SCORES, JUDGE_UNSCORED, JUDGE_WEIGHTED, JUDGE_WEIGHTS, Meter


class ScoreReport:
    """Implements `evaluation.evaluator.ScoreObserver`."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def scored(self, sample: Sample, scores: Sequence[Score]) -> None:
        for score in scores:
            labels = {"graph": sample.graph, "criterion": score.criterion}
            if score.value is None:
                self._meter.record(JUDGE_UNSCORED, 1.0, labels)
                continue
            self._meter.record(JUDGE_SCORES, score.value, labels)
            self._meter.record(JUDGE_WEIGHTED, score.weight * score.value, labels)
            self._meter.record(JUDGE_WEIGHTS, score.weight, labels)
