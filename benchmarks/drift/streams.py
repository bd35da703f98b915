"""What is simulated: scores with a mean of 8.5 and a deviation of 1.5, and the same after a fall of their mean."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Draw = Callable[[int], Floats]
"""Returns the next score of so many streams at once."""

MEAN, DEVIATION = 8.5, 1.5
SMALL, LARGE = 0.5, 2.3
_GRADES = np.arange(11, dtype=np.float64)
_SHARES = np.array([0.001, 0.001, 0.003, 0.006, 0.011, 0.022, 0.045, 0.1, 0.215, 0.31, 0.286])
"""Of the grades 0 to 10, mostly 8 to 10 with a long tail: mean 8.52, deviation 1.49, skewness -1.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of score. `draw(random, fall)` makes a source of it whose mean has fallen so far."""

    name: str
    mean: float
    deviation: float
    draw: Callable[[np.random.Generator, float], Draw]


def _normal(random: np.random.Generator, fall: float) -> Draw:
    return lambda streams: MEAN - fall + DEVIATION * random.standard_normal(streams)


def _grades(random: np.random.Generator, fall: float) -> Draw:
    shares = _tilted(_mean(_SHARES) - fall)
    bounds = np.cumsum(shares)[:-1]
    return lambda streams: np.searchsorted(bounds, random.random(streams)).astype(np.float64)


def _mean(shares: Floats) -> float:
    return float(shares @ _GRADES / shares.sum())


def _tilted(mean: float) -> Floats:
    """Return the shares nearest to `_SHARES` that have this mean: each grade's times exp(slope * grade)."""
    low, high = -5.0, 5.0
    for _ in range(60):
        slope = (low + high) / 2
        low, high = (slope, high) if _mean(_SHARES * np.exp(slope * (_GRADES - MEAN))) < mean else (low, slope)
    shares: Floats = _SHARES * np.exp(low * (_GRADES - MEAN))
    shares /= shares.sum()
    return shares


_grade_mean = _mean(_SHARES)
NORMAL = Kind(name="normal, 8.5 ± 1.5", mean=MEAN, deviation=DEVIATION, draw=_normal)
GRADES = Kind(
    name="whole grades 0 to 10, skewed",
    mean=_grade_mean,
    deviation=float(np.sqrt(_SHARES @ (_GRADES - _grade_mean) ** 2)),
    draw=_grades,
)
