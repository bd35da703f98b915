"""What a series' values are compared with: a mean and a deviation that are learnt from the series itself."""

from dataclasses import dataclass
from math import copysign, log1p, sqrt


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """How many values there were, their mean, and the sum of their squared distances from it (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def with_value(self, value: float) -> "Reference":
        count, distance = self.count + 1, value - self.mean
        mean = self.mean + distance / count
        return Reference(count=count, mean=mean, squares=self.squares + distance * (value - mean))

    @property
    def deviation(self) -> float:
        """The standard deviation, 0 before the second value."""
        return sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0

    def standardise(self, value: float, *, min_deviation: float) -> float:
        """Return how unusual the next value is, as one of a standard normal distribution.

        That is Hawkins' self-starting scheme ("Self-starting CUSUM charts for location and scale", The Statistician 36, 1987):
        while nothing changes, the results are independent and of that one distribution however few values the reference has.
        So a short baseline makes no false alarms; it makes detection slower. There must be two values. Student's t is made
        normal by Wallace's approximation (Ann. Math. Statist. 30, 1959).
        """
        degrees = self.count - 1
        t = (value - self.mean) / max(self.deviation, min_deviation) * sqrt(self.count / (self.count + 1))
        size = (8 * degrees + 1) / (8 * degrees + 3) * sqrt(degrees * log1p(t * t / degrees))
        return copysign(size, t)
