"""Which runs are judged, and how many runs each of them stands for.

Every run draws one *lot*, a number in [0, 1) that is a hash of its id, so every replica and every repetition agrees. A run is
of one stratum, which has a rate, and is taken where its lot is below that rate. Runs of a kind that is taken more often would
weigh too much in a plain mean: each score carries the weight 1 / rate, and sum(w x) / sum(w) (Hájek's estimator) is the mean of
all runs, taken or not. What would be taken at the base rate is the *fair share* (`base`), in which every run is as likely as
any other: there a plain mean is right.

    rate of a stratum = its own, or as much of it as keeps to its cap, and never below the base rate

A cap is kept by a rate that follows from how many runs were seen before, never from what a run itself is: only so are the
weights right. In a minute in which runs come all at once more are taken than the cap, by a factor of 1 + ln(seen / cap).
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.samples import Stratum

WINDOW_S = 60.0
_BITS = 53
"""So many a float holds, so that no lot is rounded to 1."""


def lot(run_id: UUID) -> float:
    """Return the run's number, evenly spread over [0, 1)."""
    digest = hashlib.blake2b(run_id.bytes, digest_size=8, person=b"sampler").digest()
    return (int.from_bytes(digest) >> 64 - _BITS) / 2.0**_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumPolicy:
    """How often a run of a stratum is taken: at `rate`, as far as that makes `per_minute` in one replica (None: no cap)."""

    rate: float = 1.0
    per_minute: float | None = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRate:
    """The rate of the runs of a graph, of a tenant, or of both; None is any."""

    rate: float
    graph: str | None = None
    tenant: str | None = None

    def fits(self, graph: str, tenant_id: str) -> bool:
        return self.graph in (None, graph) and self.tenant in (None, tenant_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPolicy:
    """`rates` are looked through in their order, and what fits none has `base_rate`. Where the base rate is 0 nothing is
    taken, of whatever stratum. An ordinary run is taken at the base rate.
    """

    base_rate: float = 0.05
    rates: tuple[BaseRate, ...] = ()
    strata: Mapping[Stratum, StratumPolicy] = field(default_factory=dict)

    def base(self, graph: str, tenant_id: str) -> float:
        return next((rule.rate for rule in self.rates if rule.fits(graph, tenant_id)), self.base_rate)

    def of(self, stratum: Stratum) -> StratumPolicy:
        return self.strata.get(stratum, _EVERY_ONE)


_EVERY_ONE = StratumPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A run that is judged: whether it is of the fair share, and what its scores weigh."""

    base: bool
    weight: float


@dataclass(slots=True)
class _Seen:
    """How many runs of a stratum there were in this window and in the one before."""

    window: int = -1
    here: int = 0
    before: int = 0

    def one_more(self, window: int) -> int:
        """Count a run; return how many of its kind are to be expected in a window."""
        if window != self.window:
            self.before = self.here if window == self.window + 1 else 0
            self.window, self.here = window, 0
        self.here += 1
        return max(self.here, self.before)


class Sampler:
    """The sampling of one replica. `clock` is in seconds."""

    def __init__(self, policy: SamplingPolicy, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._seen = {stratum: _Seen() for stratum in Stratum}

    def configure(self, policy: SamplingPolicy) -> None:
        """Sample by this policy from now on."""
        self._policy = policy

    def take(self, run_id: UUID, graph: str, tenant_id: str, stratum: Stratum) -> Taken | None:
        """Return what the run stands for, None where it is not taken. To be asked once of every run that ended."""
        base, rate = self._rates(graph, tenant_id, stratum)
        drawn = lot(run_id)
        return Taken(base=drawn < base, weight=1.0 / rate) if drawn < rate else None

    def rate(self, graph: str, tenant_id: str, stratum: Stratum) -> float:
        """Return the rate at which the next run of this kind is taken, and count that run."""
        return self._rates(graph, tenant_id, stratum)[1]

    def _rates(self, graph: str, tenant_id: str, stratum: Stratum) -> tuple[float, float]:
        base = self._policy.base(graph, tenant_id)
        if base == 0.0 or stratum is Stratum.ORDINARY:
            return base, base
        policy = self._policy.of(stratum)
        expected = self._seen[stratum].one_more(int(self._clock() // WINDOW_S))
        capped = policy.rate if policy.per_minute is None else min(policy.rate, policy.per_minute / expected)
        return base, max(base, capped)
