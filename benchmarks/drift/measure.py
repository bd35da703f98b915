"""Delays and false alarms, counted."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from benchmarks.drift.charts import Charts
from benchmarks.drift.streams import Kind
from evaluation.drift.distances import kolmogorov_smirnov, population_stability_index
from evaluation.drift.level import LevelPolicy
from evaluation.drift.windows import WindowPolicy

PER = 100_000
GIVE_UP_AFTER = 3_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Judged answers from a fall until it was seen: the mean, its standard error, the 9th decile. `missed` is the share of
    streams in which it was not seen within GIVE_UP_AFTER answers; the others do not count them.
    """

    mean: float
    error: float
    late: float
    missed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """False alarms in `answers`, by what was said to have happened."""

    fell: int
    rose: int
    answers: int

    @property
    def rate(self) -> float:
        """How many there are in PER answers."""
        return (self.fell + self.rose) * PER / self.answers


def false_alarms(
    kind: Kind, random: np.random.Generator, *, known: bool, streams: int, answers: int, policy: LevelPolicy
) -> Alarms:
    """Watch streams in which nothing changes; after an alarm the charts begin again."""
    charts = Charts(policy, streams, (kind.mean, kind.deviation) if known else None)
    draw, falls, rises = kind.draw(random, 0.0), 0, 0
    for _ in range(answers):
        fell, rose = charts.observe(draw(streams))
        falls, rises = falls + int(np.count_nonzero(fell)), rises + int(np.count_nonzero(rose))
    return Alarms(fell=falls, rose=rises, answers=streams * answers)


def delay(
    kind: Kind, random: np.random.Generator, *, fall: float, baseline: int | None, streams: int, policy: LevelPolicy
) -> Delay:
    """Watch streams whose mean falls after `baseline` answers; None: after 500, and the reference is known."""
    charts = Charts(policy, streams, (kind.mean, kind.deviation) if baseline is None else None)
    draw = kind.draw(random, 0.0)
    for _ in range(500 if baseline is None else baseline):
        charts.observe(draw(streams))
    draw, seen_after = kind.draw(random, fall), np.full(streams, np.nan)
    for answer in range(1, GIVE_UP_AFTER + 1):
        fell, _ = charts.observe(draw(streams))
        seen_after[fell & np.isnan(seen_after)] = answer
        if not np.isnan(seen_after).any():
            break
    seen = seen_after[~np.isnan(seen_after)]
    return Delay(
        mean=float(seen.mean()),
        error=float(seen.std() / sqrt(len(seen))),
        late=float(np.quantile(seen, 0.9)),
        missed=1 - len(seen) / streams,
    )


def false_looks(kind: Kind, random: np.random.Generator, *, looks: int, policy: WindowPolicy) -> tuple[int, int]:
    """Compare windows with references of the same kind, a new one for every window; return PSI's alarms, and the test's."""
    draw, index, test = kind.draw(random, 0.0), 0, 0
    for _ in range(looks):
        reference, recent = draw(policy.reference_size).tolist(), draw(policy.size).tolist()
        index += population_stability_index(reference, recent) >= policy.psi_limit
        test += kolmogorov_smirnov(reference, recent)[1] < policy.significance
    return index, test
