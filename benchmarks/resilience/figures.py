"""From replies to figures: percentiles of one window, and differences between windows of the same round."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.arrivals import Reply
from benchmarks.summary import SEED

_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The replies to what was due in one stretch of time."""

    requests: int
    errors: Mapping[str, int]
    """By kind."""
    ttfts_ms: Sequence[float]
    """Of the replies that began."""
    late_p99_ms: float
    """By how much the client itself was late."""

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    def ttft_ms(self, percentile: float) -> float:
        """NaN where no reply began."""
        return percentile_of(self.ttfts_ms, percentile)


def window(replies: Iterable[Reply]) -> Window:
    """Of all the replies given."""
    given = list(replies)
    return Window(
        requests=len(given),
        errors=dict(Counter(reply.error for reply in given if reply.error is not None)),
        ttfts_ms=[reply.ttft_ms for reply in given if reply.ttft_ms is not None],
        late_p99_ms=percentile_of([reply.late_ms for reply in given], 99),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of a percentile of the time to first token between two kinds of windows, milliseconds, and its 95 % interval."""

    value: float
    low: float
    high: float


def pooled_difference(of: Sequence[Window], less: Sequence[Window], percentile: float) -> Difference:
    """The percentile over all windows of a kind, minus that of the other kind; a window of each is a round.

    Over all windows, since one hiccup of the machine is the p99 of a single window. The interval is a percentile bootstrap
    over the rounds, which keeps the windows of a round together.
    """
    ours, theirs = ([np.asarray(one.ttfts_ms) for one in windows] for windows in (of, less))

    def difference(rounds: Sequence[int]) -> float:
        pooled = (np.concatenate([windows[number] for number in rounds]) for windows in (ours, theirs))
        high, low = (float(np.percentile(values, percentile)) for values in pooled)
        return high - low

    picked = np.random.default_rng(SEED).integers(0, len(of), size=(_RESAMPLES, len(of)))
    low, high = np.percentile([difference(rounds) for rounds in picked], (2.5, 97.5))
    return Difference(value=difference(range(len(of))), low=float(low), high=float(high))


MAX_SHARE = 0.2
MAX_MS = 30.0


def allowed_rise_ms(before: Sequence[Window]) -> float:
    """By how much what other people do may raise the p99 of the time to first token, given what it is without them."""
    return max(MAX_SHARE * percentile_of([ttft_ms for one in before for ttft_ms in one.ttfts_ms], 99), MAX_MS)


def told(found: Window) -> str:
    """The figures of one window in a few words."""
    errors = f", errors {dict(found.errors)}" if found.errors else ""
    return f"TTFT {found.ttft_ms(50):.0f} / {found.ttft_ms(99):.0f} ms{errors}"


def percentile_of(values: Sequence[float], percentile: float) -> float:
    """NaN of nothing."""
    return float(np.percentile(values, percentile)) if values else float("nan")
