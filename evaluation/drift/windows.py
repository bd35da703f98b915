"""Whether a distribution has changed, decided a window at a time: a length or a latency has no mean worth a chart.

The first answers are the reference. The later ones are looked at in windows that share no answer, so the expected number of
false alarms is the number of looks times the significance of one. What has changed is told of once, until a window looks as
before, or until `settle_after` windows have not: then it is what is usual, and becomes the reference.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from evaluation.drift.distances import kolmogorov_smirnov, population_stability_index
from evaluation.drift.level import Change, What


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPolicy:
    """Sizes are answers. With these, chance alone makes a PSI of 0.25 in one look of 20,000, and 0.1 in one of nine.

    `significance` is Kolmogorov and Smirnov's in one look: 1 in 10,000 is one false alarm in two million answers of a window
    of 200. Back as it was is a PSI below `psi_back` and a distance that chance makes in one look of a hundred.
    """

    reference_size: int = 500
    size: int = 200
    psi_limit: float = 0.25
    psi_back: float = 0.1
    significance: float = 1e-4
    significance_back: float = 0.01
    settle_after: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """`looks` counts the windows since a change that were not as before; None while there is no change. `psi` is the last."""

    reference: tuple[float, ...] = ()
    recent: tuple[float, ...] = ()
    since: datetime | None = None
    looks: int | None = None
    psi: float = 0.0

    def observe(self, value: float, at: datetime, policy: WindowPolicy) -> tuple["Windows", Change | None]:
        if len(self.reference) < policy.reference_size:
            return replace(self, reference=(*self.reference, value)), None
        window = replace(self, recent=(*self.recent, value), since=self.since or at)
        return _look(window, policy) if len(window.recent) == policy.size else (window, None)

    def released(self) -> "Windows":
        return Windows(reference=self.reference)

    def pressure(self, policy: WindowPolicy) -> float:
        """Return how near the last window's PSI has come to its limit: 0 to 1, and 1 while what has changed is not over."""
        return self.psi / policy.psi_limit if self.looks is None else 1.0


def _look(windows: Windows, policy: WindowPolicy) -> tuple[Windows, Change | None]:
    psi = population_stability_index(windows.reference, windows.recent)
    _, chance = kolmogorov_smirnov(windows.reference, windows.recent)
    after = replace(windows, recent=(), since=None, psi=psi)
    if windows.looks is None:
        if psi >= policy.psi_limit:
            return replace(after, looks=0), _change(windows, What.CHANGED, "PSI", psi, policy.psi_limit)
        if chance < policy.significance:
            return replace(after, looks=0), _change(
                windows, What.CHANGED, "Kolmogorov-Smirnov", chance, policy.significance
            )
        return after, None
    if psi < policy.psi_back and chance > policy.significance_back:
        return replace(after, looks=None), _change(windows, What.RECOVERED, "PSI", psi, policy.psi_back)
    if windows.looks + 1 < policy.settle_after:
        return replace(after, looks=windows.looks + 1), None
    settled = _change(windows, What.SETTLED, "PSI", psi, policy.psi_back)
    return Windows(reference=windows.recent), settled


def _change(windows: Windows, what: What, test: str, statistic: float, limit: float) -> Change:
    assert windows.since is not None  # noqa: S101  a full window has begun
    return Change(
        what=what,
        test=test,
        statistic=statistic,
        limit=limit,
        before=sum(windows.reference) / len(windows.reference),
        after=sum(windows.recent) / len(windows.recent),
        answers=len(windows.recent),
        since=windows.since,
        ends=() if what is What.CHANGED else (What.CHANGED,),
    )
