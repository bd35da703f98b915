"""What kind of run it is that ended, for the sampler.

What is *long* is long for its graph: beyond a quantile of the durations, or of the output tokens, of the last runs of that
graph in this replica. That is the quantile itself, of a window that slides, not an estimate of it: a thousand numbers kept in
order cost a few microseconds a run and 16 KB a graph, forget last week's traffic, and need no constants. A bound that is
configured takes its place.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from services.samples import Stratum
from services.types import Run, RunOutcome, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPolicy:
    """Beyond which of the last `window` runs of its graph a run is long, once there were `least`; or beyond fixed bounds."""

    quantile: float = 0.99
    window: int = 1_000
    least: int = 200
    duration_s: float | None = None
    output_tokens: int | None = None


class Tail:
    """The upper tail of one quantity. Every number is judged by those before it, so it does not decide about itself."""

    def __init__(self, policy: LongPolicy) -> None:
        self._policy = policy
        self._order: deque[float] = deque()
        self._sorted: list[float] = []

    def beyond(self, number: float) -> bool:
        """Return whether the number is beyond the quantile, and remember it."""
        known = len(self._sorted)
        far = known >= self._policy.least and number > self._sorted[int(self._policy.quantile * (known - 1))]
        if known == self._policy.window:
            del self._sorted[bisect_left(self._sorted, self._order.popleft())]
        self._order.append(number)
        insort(self._sorted, number)
        return far


class Strata:
    """Tells the stratum of every run that ends in one replica."""

    def __init__(self, policy: LongPolicy) -> None:
        self._policy = policy
        self._tails: dict[str, tuple[Tail, Tail]] = {}

    def configure(self, policy: LongPolicy) -> None:
        """Tell by this policy from now on; another window begins anew."""
        if policy != self._policy:
            self._policy = policy
            self._tails = {}

    def of(self, run: Run, outcome: RunOutcome, duration_s: float) -> Stratum:
        """Return the run's stratum. To be asked once of every run."""
        long = self._is_long(run.graph, duration_s, outcome.usage.output_tokens)
        return stratum_of(run, outcome.status, long=long)

    def _is_long(self, graph: str, duration_s: float, output_tokens: int) -> bool:
        policy = self._policy
        durations, tokens = self._tails.setdefault(graph, (Tail(policy), Tail(policy)))
        # Both are asked, for both are to remember.
        slow, wordy = durations.beyond(duration_s), tokens.beyond(output_tokens)
        if policy.duration_s is not None:
            slow = duration_s > policy.duration_s
        if policy.output_tokens is not None:
            wordy = output_tokens > policy.output_tokens
        return slow or wordy


def stratum_of(run: Run, status: RunStatus, *, disliked: bool = False, long: bool = False) -> Stratum:
    """Return the first stratum that a run fits."""
    fits: Mapping[Stratum, bool] = {
        Stratum.DISLIKED: disliked,
        Stratum.FLAGGED: run.flagged,
        Stratum.FAILED: status is RunStatus.FAILED,
        Stratum.LONG: long,
        Stratum.ORDINARY: True,
    }
    return next(stratum for stratum, holds in fits.items() if holds)
