"""What the judge says of runs, as measurements: every score, and what a weighted mean is made of."""

from collections.abc import Collection, Mapping, Sequence

from services.samples import Sample, Score
from services.telemetry.metrics import JUDGE_SCORES, JUDGE_WEIGHTED, JUDGE_WEIGHTS, JUDGEMENTS, Meter


class ScoreReport:
    """Implements `evaluation.evaluator.ScoreObserver`. Only what is `graded`, from 0 to 10, has a mean that says something."""

    def __init__(self, meter: Meter, graded: Collection[str]) -> None:
        self._meter = meter
        self._graded = frozenset(graded)

    def scored(self, sample: Sample, scores: Sequence[Score]) -> None:
        for score in scores:
            labels = {"graph": sample.graph, "criterion": score.criterion}
            outcome = _outcome(score)
            self._meter.record(JUDGEMENTS, 1.0, {**labels, "outcome": outcome})
            if score.value is not None and outcome == "scored" and score.criterion in self._graded:
                self._grade(score.value, score.weight, labels)

    def _grade(self, value: float, weight: float, labels: Mapping[str, str]) -> None:
        self._meter.record(JUDGE_SCORES, value, labels)
        self._meter.record(JUDGE_WEIGHTED, weight * value, labels)
        self._meter.record(JUDGE_WEIGHTS, weight, labels)


def _outcome(score: Score) -> str:
    if score.value is None:
        return "unscored" if score.applies else "inapplicable"
    return "flagged" if score.flagged else "scored"
