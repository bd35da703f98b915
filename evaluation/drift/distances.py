"""How far two samples are apart, by what is usual in the field: PSI and the two-sample Kolmogorov-Smirnov test."""

import math
from collections.abc import Sequence

import numpy as np

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]

BINS = 10
_TERMS = 100


def population_stability_index(reference: Sequence[float], recent: Sequence[float]) -> float:
    """Return the PSI over the deciles of the reference: the sum of (q - p) * ln(q / p), with half an answer more in each bin.

    By convention 0.1 is a small change and 0.25 a large one (Siddiqi, "Credit Risk Scorecards", 2006). What chance alone makes
    depends on the sizes: about chi-square with `BINS - 1` degrees of freedom times (1/n + 1/m) (Yurdakul, Western Michigan
    University, 2018). Values that are often the same make fewer bins.
    """
    known = np.asarray(reference, dtype=np.float64)
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    edges = edges[edges < known.max()]
    p, q = (_shares(np.asarray(sample, dtype=np.float64), edges) for sample in (reference, recent))
    return float(np.sum((q - p) * np.log(q / p)))


def _shares(values: Floats, edges: Floats) -> Floats:
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) + 0.5
    shares: Floats = counts / counts.sum()
    return shares


def kolmogorov_smirnov(reference: Sequence[float], recent: Sequence[float]) -> tuple[float, float]:
    """Return the largest distance of the two distribution functions, and how likely chance makes one as large.

    By the limit distribution with Stephens' correction for the sizes (J. R. Statist. Soc. B 32, 1970), which holds from 4
    values in each on. Equal values make it larger than it is, so a test by it stays on the safe side.
    """
    first, second = np.sort(reference), np.sort(recent)
    values = np.concatenate([first, second])
    below = (np.searchsorted(sample, values, side="right") / len(sample) for sample in (first, second))
    distance = float(np.max(np.abs(np.subtract(*below))))
    size = math.sqrt(len(first) * len(second) / len(values))
    return distance, _tail((size + 0.12 + 0.11 / size) * distance)


def _tail(x: float) -> float:
    """Return Kolmogorov's 1 - K(x)."""
    if x < 0.2:
        return 1.0  # it is, to 12 digits, and the series would need ever more terms
    terms = ((-1) ** (j - 1) * math.exp(-2 * j * j * x * x) for j in range(1, _TERMS))
    return min(max(2 * math.fsum(terms), 0.0), 1.0)
