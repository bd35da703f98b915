"""How far two columns of values agree, beyond chance, and how sure that is.

Cohen's kappa (Cohen 1960, Educational and Psychological Measurement 20), weighted by the square of the distance where the
categories are in order (Cohen 1968, Psychological Bulletin 70); its interval is the percentile bootstrap over the items.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2_000

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """`low` and `high` bound kappa with 95 %. `ranking` is how often, of two items that people put in an order, the judge has
    the same one (ties count half): for two labels the area under the ROC curve. It is None where all labels are the same.
    """

    n: int
    kappa: float
    low: float
    high: float
    ranking: float | None


def confusion(judged: Sequence[int], labelled: Sequence[int], categories: int) -> Counts:
    """Return how many items the judge (columns) and people (rows) put into each category, 0 to `categories` - 1."""
    counts = np.zeros((categories, categories), dtype=np.int64)
    np.add.at(counts, (np.asarray(labelled, dtype=int), np.asarray(judged, dtype=int)), 1)
    return counts


def kappa(counts: Counts, *, weighted: bool = False) -> float:
    """Return Cohen's kappa of a confusion: 1 is full agreement, 0 is chance. With `weighted`, by squared distance.

    Where chance explains everything, since both use one category only, it is undefined, and 0 is returned.
    """
    return float(_kappas(counts[None], weighted=weighted)[0])


def _kappas(counts: Counts, *, weighted: bool) -> Values:
    """Return the kappa of each of several confusions, one after another in the first dimension."""
    size = counts.shape[-1]
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    costs = distance**2 if weighted else (distance != 0).astype(int)
    totals = np.maximum(counts.sum(axis=(1, 2)), 1)
    by_chance = counts.sum(axis=2)[:, :, None] * counts.sum(axis=1)[:, None, :] / totals[:, None, None]
    expected = (costs * by_chance).sum(axis=(1, 2))
    observed = (costs * counts).sum(axis=(1, 2))
    return np.where(expected > 0, 1.0 - observed / np.where(expected > 0, expected, 1.0), 0.0)


def interval(
    judged: Sequence[int],
    labelled: Sequence[int],
    categories: int,
    *,
    weighted: bool = False,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Return the 95 % interval of kappa over `resamples` draws of the items. `seed` makes it the same every time."""
    counts = confusion(judged, labelled, categories)
    # To draw items with replacement is to draw the cells of the confusion that they are in.
    shares = counts.ravel() / counts.sum()
    drawn = np.random.default_rng(seed).multinomial(counts.sum(), shares, size=resamples)
    found = _kappas(drawn.reshape(resamples, categories, categories), weighted=weighted)
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def ranking(values: Sequence[float], labels: Sequence[float]) -> float | None:
    """Return the share of pairs with different labels whose values are in the same order; ties of values count half."""
    value, label = np.asarray(values, dtype=float), np.asarray(labels, dtype=float)
    pairs, in_order = 0, 0.0
    for level in np.unique(label):
        here, below = value[label == level], np.sort(value[label < level])
        pairs += len(here) * len(below)
        in_order += (np.searchsorted(below, here, "left") + np.searchsorted(below, here, "right")).sum() / 2
    return float(in_order / pairs) if pairs else None


def agreement(
    values: Sequence[float],
    labels: Sequence[float],
    *,
    judged: Sequence[int],
    labelled: Sequence[int],
    categories: int,
    weighted: bool = False,
) -> Agreement:
    """Compare values with labels, and the categories `judged` with those `labelled`, which these stand for."""
    counts = confusion(judged, labelled, categories)
    low, high = interval(judged, labelled, categories, weighted=weighted)
    return Agreement(
        n=len(values),
        kappa=kappa(counts, weighted=weighted),
        low=low,
        high=high,
        ranking=ranking(values, labels),
    )
