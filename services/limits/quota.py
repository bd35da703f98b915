"""What a quota is, and the arithmetic of the bucket that holds it.

A bucket is one number: when it will be full again if nothing more is taken (the "theoretical arrival time" of the generic cell
rate algorithm, GCRA, ITU-T I.371 annex A). How far that lies ahead is what has been taken and not come back yet, in seconds.
So a bucket needs no refilling, and to take from it is one comparison and one addition: in memory here, in one statement in
Postgres, in one script in Redis.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """`limit` units (requests, tokens) in `window_s` seconds, which come back evenly. `burst` of them may be taken at once; all
    of them where that is None.
    """

    limit: int
    window_s: float = 60.0
    burst: int | None = None

    @property
    def size(self) -> int:
        """How many units a full bucket holds."""
        return self.limit if self.burst is None else self.burst

    @property
    def size_s(self) -> float:
        """How long an empty bucket takes to fill."""
        return self.size * self.unit_s

    @property
    def unit_s(self) -> float:
        """How long one unit takes to come back."""
        return self.window_s / self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """`units` of what the bucket `key` holds. More than a full one holds counts as all of it: it could never be had."""

    key: bytes
    quota: Quota
    units: float = 1.0

    @property
    def cost_s(self) -> float:
        return min(self.units, self.quota.size) * self.quota.unit_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A bucket at one moment: `taken_s` is how long it takes until it is full again, 0 for a full one."""

    charge: Charge
    taken_s: float

    @property
    def remaining(self) -> int:
        """How many whole units it holds."""
        quota = self.charge.quota
        return max(0, math.floor((quota.size_s - self.taken_s) / quota.unit_s + _SLACK))

    @property
    def retry_after_s(self) -> float:
        """How long until the charge can be had, 0 if it can be now."""
        return max(0.0, self.taken_s + self.charge.cost_s - self.charge.quota.size_s)


_SLACK = 1e-6
"""Of a unit: what floating point may lose of a whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What came of charging several buckets: all of them, or, unless `admitted`, none. Readings are as they are after it."""

    admitted: bool
    readings: tuple[Reading, ...]

    @property
    def tightest(self) -> Reading | None:
        """The bucket from which the charge can be had last."""
        return max(self.readings, key=lambda reading: reading.retry_after_s, default=None)


NOTHING_ASKED = Taken(admitted=True, readings=())
