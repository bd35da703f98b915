"""How sure a mean is, and whether two configurations differ on the same cases.

Two configurations answer the same questions, and questions differ far more than configurations do. So what is compared is
case by case: the difference of each, and whether its mean could be chance.

- Of yes or no: Wilson's interval of a share (Wilson 1927, JASA 22); of the difference of two shares on the same cases the
  adjusted Wald interval (Agresti and Min 2005, Statistics in Medicine 24), which is not a point where all cases agree; the
  exact test of McNemar (1947, Psychometrika 12) on the cases that changed.
- Of grades and measures: the percentile bootstrap over the cases (Efron 1979), and the permutation test of the signs of the
  differences (Fisher 1935), exact up to 2^14 sign patterns and drawn beyond.
- Of several measures at once: p-values adjusted as Holm (1979, Scandinavian Journal of Statistics 6) does.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
EXACT_UP_TO = 14
"""Differences other than 0 whose sign patterns are all tried."""
PERMUTATIONS = 20_000
DRAWN_AT_ONCE = 2**20
"""Numbers: 8 MB, however many cases there are."""
Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""

Values = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean over `n` cases, between `low` and `high` with 95 %."""

    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The second configuration less the first, over the `n` cases that both have a value for.

    `low` and `high` bound the mean difference with 95 %. `p` is how likely a difference as large as this is where there is
    none. `up`, `same` and `down` count the cases by the sign of their difference.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float
    up: int
    same: int
    down: int


def mean_of(values: Sequence[float], *, yes_no: bool, seed: int = 0) -> Mean | None:
    """Return a mean with its interval, None without values."""
    if not values:
        return None
    found = np.asarray(values, dtype=float)
    low, high = _wilson(found) if yes_no else _bootstrap(found, seed)
    return Mean(n=len(found), mean=float(found.mean()), low=low, high=high)


def paired(first: Sequence[float], second: Sequence[float], *, yes_no: bool, seed: int = 0) -> Paired | None:
    """Compare values case by case, None without any. Values of yes or no are 1 and 0."""
    if not first:
        return None
    differences = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    low, high = _agresti_min(up, down, len(differences)) if yes_no else _bootstrap(differences, seed)
    return Paired(
        n=len(differences),
        difference=float(differences.mean()),
        low=low,
        high=high,
        p=mcnemar(up, down) if yes_no else signs(differences, seed=seed),
        up=up,
        same=len(differences) - up - down,
        down=down,
    )


def mcnemar(up: int, down: int) -> float:
    """Return the two-sided p of McNemar's exact test: of the cases that changed, each is as likely to have gone either way."""
    changed = up + down
    tail = sum(math.comb(changed, k) for k in range(min(up, down) + 1))
    return min(1.0, 2 * tail / float(2**changed))


def signs(differences: Sequence[float] | Values, *, seed: int = 0, permutations: int = PERMUTATIONS) -> float:
    """Return the two-sided p of the mean difference under changes of sign. Where it is drawn, the sample itself counts as one
    of the draws, so that it is never 0.
    """
    moved = np.asarray(differences, dtype=float)
    moved = moved[moved != 0]
    if len(moved) == 0:
        return 1.0
    exact = len(moved) <= EXACT_UP_TO
    if exact:
        patterns: Iterable[Indices] = [(np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1]
    else:
        patterns = _draws(permutations, len(moved), below=2, seed=seed)
    sums = np.abs(np.concatenate([(2 * drawn - 1) @ moved for drawn in patterns]))
    # Sums of the same numbers in another order differ in their last bits.
    as_large = int((sums >= abs(moved.sum()) - 1e-9 * np.abs(moved).sum()).sum())
    return as_large / len(sums) if exact else (as_large + 1) / (len(sums) + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values of several tests such that the chance of any false alarm among them is that of one."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, ps[index] * (len(ps) - place)))
        adjusted[index] = highest
    return adjusted


def _wilson(values: Values) -> tuple[float, float]:
    n, share = len(values), float(values.mean())
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def _bootstrap(values: Values, seed: int) -> tuple[float, float]:
    draws = _draws(RESAMPLES, len(values), below=len(values), seed=seed)
    low, high = np.percentile(np.concatenate([values[drawn].mean(axis=1) for drawn in draws]), (2.5, 97.5))
    return float(low), float(high)


def _draws(times: int, n: int, *, below: int, seed: int) -> Iterator[Indices]:
    """Yield `times` rows of `n` whole numbers from 0 to `below` - 1, so many rows at a time as fit DRAWN_AT_ONCE."""
    random, rows = np.random.default_rng(seed), max(1, DRAWN_AT_ONCE // n)
    for begun in range(0, times, rows):
        yield random.integers(0, below, size=(min(rows, times - begun), n))


def _agresti_min(up: int, down: int, n: int) -> tuple[float, float]:
    """Half a case is added to each of the four cells of the table."""
    total = n + 2
    difference = (up - down) / total
    error = math.sqrt((up + down + 1) / total - difference**2) / math.sqrt(total)
    return max(-1.0, difference - Z * error), min(1.0, difference + Z * error)
