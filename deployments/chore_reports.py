"""What the chores of a replica find, measured: how long the queue has got, and how much is past its time."""

from collections.abc import Mapping
from typing import Protocol

from services.runs.prune import Prunable
from services.runs.sweep import Sweepable
from services.telemetry.metrics import PRUNED, QUEUE_AGE, Meter


class Queue(Sweepable, Protocol):
    async def queue_age_s(self) -> float:
        """Return for how long the oldest queued background run has waited, 0 where there is none. Raises StoreUnavailable."""
        ...


class MeasuredSweep:
    """Implements `services.runs.sweep.Sweepable`. Whoever sweeps looks at the queue as well.

    Ray forgets a gauge that is not set again within some seconds, and a sweep is once a minute: `show` repeats what was seen.
    """

    def __init__(self, queue: Queue, meter: Meter) -> None:
        self._queue = queue
        self._meter = meter
        self._age_s: float | None = None

    async def sweep(self, *, overdue_s: float, queue_ttl_s: float) -> int:
        self._age_s = None
        lost = await self._queue.sweep(overdue_s=overdue_s, queue_ttl_s=queue_ttl_s)
        self._age_s = await self._queue.queue_age_s()
        return lost

    def show(self) -> None:
        """Set the gauge to what the last sweep has seen, or leave it where that saw nothing."""
        if self._age_s is not None:
            self._meter.record(QUEUE_AGE, self._age_s, {})


class MeasuredPruning:
    """Implements `services.runs.prune.Prunable`."""

    def __init__(self, store: Prunable, meter: Meter) -> None:
        self._store = store
        self._meter = meter

    async def prune(self) -> Mapping[str, int]:
        pruned = await self._store.prune()
        for kind, rows in pruned.items():
            self._meter.record(PRUNED, float(rows), {"kind": kind})
        return pruned
