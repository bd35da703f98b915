"""How long a healthy call takes: what slow is measured against."""

import math

BATCH = 32
"""Latencies to one p95. Fewer make it the maximum, more make it late: at 1 rps a batch is half a minute."""

SMOOTHING = 0.2
"""The weight of the newest batch, as in Netflix' concurrency-limits (Gradient2Limit)."""

QUANTILE = 0.95


class LatencyBaseline:
    """The p95 of healthy latencies in seconds: exact over each batch, smoothed over the batches; 0.0 before the first.

    Feed it healthy calls only. An upstream that grows slow must not become the measure of itself.
    """

    __slots__ = ("_batch", "p95_s")

    def __init__(self) -> None:
        self.p95_s = 0.0
        self._batch: list[float] = []

    def add(self, latency_s: float) -> bool:
        """Take one latency. Returns whether `p95_s` is new."""
        self._batch.append(latency_s)
        if len(self._batch) < BATCH:
            return False
        self._batch.sort()
        p95_s = self._batch[math.ceil(QUANTILE * BATCH) - 1]
        self.p95_s += (p95_s - self.p95_s) * (SMOOTHING if self.p95_s else 1.0)
        self._batch.clear()
        return True
