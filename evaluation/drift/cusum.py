"""One-sided CUSUM charts (Page, "Continuous inspection schemes", Biometrika 41, 1954), and what their limits promise."""

from dataclasses import dataclass
from datetime import datetime
from math import exp

OVERSHOOT = 1.166
"""2 * 0.583: what a random walk of normal steps goes over a limit, on both ends (Siegmund, "Sequential Analysis", 1985)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A sum of steps that never falls below 0. The rest is of the values since it last stood there: that is where a change
    began, as far as can be told.
    """

    statistic: float = 0.0
    answers: int = 0
    total: float = 0.0
    since: datetime | None = None

    def after(self, step: float, value: float, at: datetime) -> "Chart":
        statistic = self.statistic + step
        if statistic <= 0:
            return Chart()
        return Chart(statistic=statistic, answers=self.answers + 1, total=self.total + value, since=self.since or at)

    @property
    def mean(self) -> float:
        return self.total / self.answers if self.answers else 0.0


def average_run_length(drift: float, limit: float) -> float:
    """Return after how many normal values of deviation 1 a chart passes its limit, on average (Siegmund's approximation).

    `drift` is the mean of a step: minus the allowance while nothing has changed, the change minus the allowance after it.
    """
    way = limit + OVERSHOOT
    if drift == 0:
        return way * way
    return (exp(-2 * drift * way) + 2 * drift * way - 1) / (2 * drift * drift)
