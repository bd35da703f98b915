"""What chores find is measured, whoever does them."""

from collections.abc import Mapping

import pytest

from deployments.chore_reports import MeasuredPruning, MeasuredSweep
from services.errors import StoreUnavailable
from services.telemetry.metrics import PRUNED, QUEUE_AGE
from tests.services.telemetry.fakes import KeptMeter


class Queue:
    """A queue of which the sweep takes the oldest."""

    def __init__(self) -> None:
        self.ages_s = [90.0, 40.0]
        self.away = False

    async def sweep(self, *, overdue_s: float, queue_ttl_s: float) -> int:
        if self.away:
            raise StoreUnavailable("away")
        lost = [age_s for age_s in self.ages_s if age_s > queue_ttl_s]
        self.ages_s = [age_s for age_s in self.ages_s if age_s <= queue_ttl_s]
        return len(lost)

    async def queue_age_s(self) -> float:
        return max(self.ages_s, default=0.0)


async def test_a_sweep_measures_the_queue_that_it_leaves() -> None:
    """It is shown whenever somebody asks; before the first sweep, and while the store is away, there is nothing to show."""
    queue, meter = Queue(), KeptMeter()
    sweep = MeasuredSweep(queue, meter)
    sweep.show()
    assert await sweep.sweep(overdue_s=60.0, queue_ttl_s=60.0) == 1
    sweep.show()
    sweep.show()
    assert await sweep.sweep(overdue_s=60.0, queue_ttl_s=30.0) == 1
    sweep.show()
    assert meter.of(QUEUE_AGE) == [(40.0, {}), (40.0, {}), (0.0, {})]
    queue.away = True
    with pytest.raises(StoreUnavailable):
        await sweep.sweep(overdue_s=60.0, queue_ttl_s=60.0)
    sweep.show()
    assert len(meter.seen) == 3


class Store:
    async def prune(self) -> Mapping[str, int]:
        return {"threads": 3, "usage": 0}


async def test_what_is_pruned_is_counted_by_kind() -> None:
    """What nothing went of as well, so that there is a series."""
    meter = KeptMeter()
    assert await MeasuredPruning(Store(), meter).prune() == {"threads": 3, "usage": 0}
    assert meter.of(PRUNED) == [(3.0, {"kind": "threads"}), (0.0, {"kind": "usage"})]
