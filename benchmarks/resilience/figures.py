"""From replies to figures: percentiles of one window, and differences between windows of the same round."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.arrivals import Reply
from benchmarks.summary import RESAMPLES, SEED


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The replies to what was due in one stretch of time. Milliseconds; NaN where no reply began."""

    requests: int
    errors: Mapping[str, int]
    """By kind."""
    ttft_p50_ms: float
    ttft_p99_ms: float
    late_p99_ms: float
    """By how much the client itself was late."""

    @property
    def failed(self) -> int:
        return sum(self.errors.values())


def window(replies: Iterable[Reply]) -> Window:
    """Of all the replies given. Only those that began have a time to first token."""
    given = list(replies)
    began = [reply.ttft_ms for reply in given if reply.ttft_ms is not None]
    p50, p99 = _percentiles(began, (50, 99))
    return Window(
        requests=len(given),
        errors=dict(Counter(reply.error for reply in given if reply.error is not None)),
        ttft_p50_ms=p50,
        ttft_p99_ms=p99,
        late_p99_ms=_percentiles([reply.late_ms for reply in given], (99,))[0],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of a figure between two windows of the same round: the mean over the rounds, and its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(of: Sequence[float], less: Sequence[float]) -> Difference:
    """`of` minus `less`, round by round, with a percentile bootstrap over the rounds."""
    differences = np.asarray(of) - np.asarray(less)
    picked = np.random.default_rng(SEED).integers(0, differences.size, size=(RESAMPLES, differences.size))
    low, high = np.percentile(differences[picked].mean(axis=1), (2.5, 97.5))
    return Difference(mean=float(differences.mean()), low=float(low), high=float(high))


def _percentiles(values: Sequence[float], wanted: Sequence[float]) -> list[float]:
    return [float(value) for value in np.percentile(values, wanted)] if values else [float("nan")] * len(wanted)
