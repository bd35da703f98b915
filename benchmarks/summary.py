"""From the windows of all rounds to the figures that are reported."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.measure import Measured, Workload
from benchmarks.targets import Target

Figure = Callable[[Measured], float]
_RESAMPLES = 10_000
SEED = 20_26


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything one run measured, in the order it was measured."""

    targets: Mapping[str, str]
    """Title by name."""
    workloads: Sequence[Workload]
    rounds: int
    measured: Sequence[Measured]
    idle_cores: Mapping[str, float]
    """By target: what it burns with nothing to do."""
    harness: Sequence[tuple[Workload, Measured]]
    """Client and upstream without a server between them."""

    def of(self, target: str, workload: str) -> list[Measured]:
        """One per round."""
        return [one for one in self.measured if one.target == target and one.workload == workload]

    def cpu(self, one: Measured) -> float:
        """CPU milliseconds per token, the idle burn taken off."""
        return one.cpu_ms_per_token(idle_cores=self.idle_cores.get(one.target, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One server under one workload: medians over the rounds; the peak is the highest, errors are summed."""

    target: str
    workload: str
    cpu_ms_per_token: float
    tokens_per_s: float
    added_ttft_p50_ms: float
    added_ttft_p99_ms: float
    lag_p50_ms: float
    lag_p99_ms: float
    peak_open: int
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A figure of one server over the same figure of another, round by round: geometric mean and 95 % interval."""

    figure: str
    workload: str
    mean: float
    low: float
    high: float


FIGURES: dict[str, Callable[[Comparison], Figure]] = {
    "CPU per token": lambda comparison: comparison.cpu,
    "tokens per second": lambda _comparison: lambda one: one.found.tokens_per_s,
    "added TTFT p50": lambda _comparison: lambda one: one.found.added_ttft.p50_ms,
    "added TTFT p99": lambda _comparison: lambda one: one.found.added_ttft.p99_ms,
    "added lag p50": lambda _comparison: lambda one: one.found.lag.p50_ms,
    "added lag p99": lambda _comparison: lambda one: one.found.lag.p99_ms,
}


def rows(comparison: Comparison) -> list[Row]:
    return [
        _row(comparison, target, workload.name)
        for workload in comparison.workloads
        for target in comparison.targets
        if comparison.of(target, workload.name)
    ]


def ratios(comparison: Comparison, over: str, under: str) -> list[Ratio]:
    """Every figure of `over` divided by that of `under`."""
    return [
        paired_ratio(
            [figure(comparison)(one) for one in comparison.of(over, workload.name)],
            [figure(comparison)(one) for one in comparison.of(under, workload.name)],
            figure=name,
            workload=workload.name,
        )
        for workload in comparison.workloads
        for name, figure in FIGURES.items()
    ]


def paired_ratio(over: Sequence[float], under: Sequence[float], *, figure: str, workload: str) -> Ratio:
    """The geometric mean of the rounds' ratios, and its percentile bootstrap over the rounds. Rounds in which a side has no
    positive figure are left out; NaN when none is left."""
    both = zip(over, under, strict=True)
    logs = np.asarray([math.log(one / other) for one, other in both if one > 0 and other > 0])
    if not logs.size:
        return Ratio(figure=figure, workload=workload, mean=math.nan, low=math.nan, high=math.nan)
    picked = np.random.default_rng(SEED).integers(0, logs.size, size=(_RESAMPLES, logs.size))
    low, high = np.percentile(logs[picked].mean(axis=1), (2.5, 97.5))
    return Ratio(
        figure=figure,
        workload=workload,
        mean=float(np.exp(logs.mean())),
        low=float(np.exp(low)),
        high=float(np.exp(high)),
    )


def titles(targets: Sequence[Target]) -> dict[str, str]:
    return {target.name: target.title for target in targets}


def _row(comparison: Comparison, target: str, workload: str) -> Row:
    measured = comparison.of(target, workload)
    medians = {
        name: float(np.median([figure(comparison)(one) for one in measured])) for name, figure in FIGURES.items()
    }
    errors: dict[str, int] = {}
    for one in measured:
        for kind, count in one.found.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    return Row(
        target=target,
        workload=workload,
        cpu_ms_per_token=medians["CPU per token"],
        tokens_per_s=medians["tokens per second"],
        added_ttft_p50_ms=medians["added TTFT p50"],
        added_ttft_p99_ms=medians["added TTFT p99"],
        lag_p50_ms=medians["added lag p50"],
        lag_p99_ms=medians["added lag p99"],
        peak_open=max(one.found.peak_open for one in measured),
        errors=errors,
    )
