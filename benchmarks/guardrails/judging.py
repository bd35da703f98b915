"""The evidence in labelled texts as a guard finds it that has not learnt from them, and the scores of leaving sources out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from benchmarks.guardrails.corpus import Case
from benchmarks.guardrails.folds import fold_of, fold_weights
from services.guardrails.classifier import Classifier
from services.guardrails.evidence import SENTENCE_MARGIN, Evidence, Reader, Weighing
from services.guardrails.model_card import WEIGHTS

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BLOCK_FPR = 0.002
FLAG_FPR = 0.01
RATES = (BLOCK_FPR, 0.005, FLAG_FPR, 0.02)
INVERSE_REGULARISATION = 100.0
COLUMNS = 5
"""Of a text; what a sentence has stands in as many beside them."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Cases and what the guard says of them: the evidence as columns, and the score that knows nothing of the case's source."""

    cases: tuple[Case, ...]
    columns: Floats
    scores: Floats

    @property
    def attacks(self) -> Flags:
        return np.array([case.attack for case in self.cases])

    @property
    def kinds(self) -> npt.NDArray[np.str_]:
        return np.array([case.kind for case in self.cases])

    @property
    def sources(self) -> npt.NDArray[np.str_]:
        return np.array([case.source for case in self.cases])


@cache
def _reader(weights: Path) -> Reader:
    return Reader(Classifier.decode(weights.read_bytes()))


def _evidence(asked: tuple[str, Path]) -> Evidence:
    text, weights = asked
    return _reader(weights).read(text)


def evidence(cases: Sequence[Case], *, jobs: int, unseen: bool) -> Floats:
    """Return the columns of evidence of each case, and of its sentence; `unseen` uses the weights that have not seen the
    case's data set. Where there is no sentence the text stands for it, which changes no score."""
    asked = [(case.text, fold_weights(fold_of(case)) if unseen else WEIGHTS) for case in cases]
    with ProcessPoolExecutor(jobs) as pool:
        return np.array(
            [
                (*found.columns(), *(found.sentence or found).columns())
                for found in pool.map(_evidence, asked, chunksize=200)
            ]
        )


def weigh(columns: Floats, attacks: Flags, sources: npt.NDArray[np.str_]) -> Weighing:
    """Fit the weighing: each source counts the same, whatever its size, since the next one will be none of them."""
    sizes = Counter(sources.tolist())
    shares = np.array([1 / sizes[source] for source in sources.tolist()])
    model = LogisticRegression(C=INVERSE_REGULARISATION).fit(columns[:, :COLUMNS], attacks, sample_weight=shares)
    wording, meaning, points, hidden, length = map(float, model.coef_[0])
    return Weighing(coefficients=(wording, meaning, points, hidden, length), intercept=float(model.intercept_[0]))


def scored(columns: Floats, weighing: Weighing) -> Floats:
    """Return the score of each row, as `Weighing.score` has it."""
    logits = columns.reshape(len(columns), -1, COLUMNS) @ np.array(weighing.coefficients) + weighing.intercept
    logits[:, 1:] -= SENTENCE_MARGIN
    return np.asarray(1 / (1 + np.exp(-logits.max(axis=1))))


def cross_validated(cases: Sequence[Case], columns: Floats) -> Judged:
    """Score each source by a weighing that was fitted on the others; sources of one data set are left out together."""
    attacks = np.array([case.attack for case in cases])
    sources = np.array([case.source for case in cases])
    left_out = np.array([case.source if fold_of(case) == "other" else fold_of(case) for case in cases])
    scores = np.zeros(len(cases))
    for name in np.unique(left_out):
        here = left_out == name
        scores[here] = scored(columns[here], weigh(columns[~here], attacks[~here], sources[~here]))
    return Judged(tuple(cases), columns, scores)


def threshold(judged: Judged, rate: float, among: Flags | None = None) -> float:
    """Return the lowest score at which no more than `rate` of the benign texts are found: of all, and of the mean kind.

    The mean over the kinds is there since a corpus has many short questions and few documents, and traffic need not.
    """
    benign = ~judged.attacks if among is None else ~judged.attacks & among
    scores, kinds = judged.scores[benign], judged.kinds[benign]
    each = {str(kind): np.sort(scores[kinds == kind]) for kind in np.unique(kinds)}

    def rates(at: float) -> tuple[float, float]:
        found = {kind: len(part) - int(np.searchsorted(part, at)) for kind, part in each.items()}
        return sum(found.values()) / len(scores), float(np.mean([found[kind] / len(each[kind]) for kind in each]))

    candidates = np.unique(scores)
    low, high = 0, len(candidates)
    while low < high:
        middle = (low + high) // 2
        if max(rates(float(candidates[middle]))) <= rate:
            high = middle
        else:
            low = middle + 1
    return float(np.nextafter(candidates[low - 1], 1.0)) if low else 0.0


def transferred(judged: Judged, rate: float) -> Flags:
    """Return what is found where each source is judged by a threshold that was chosen on the others."""
    found = np.zeros(len(judged.cases), dtype=bool)
    for source in np.unique(judged.sources):
        here = judged.sources == source
        found[here] = judged.scores[here] >= threshold(judged, rate, ~here)
    return found


def shares(found: Flags, groups: Mapping[str, Flags]) -> Mapping[str, float]:
    """Return which share of each group was found."""
    return {name: float(found[group].mean()) for name, group in groups.items() if group.any()}
