"""Costs of single operations: how they are taken, and that each operation does what its name says."""

import pytest

from benchmarks.micro.operations import operations
from benchmarks.micro.timing import Cost, Loop, Operation, cost_of, table


class Clock:
    """Moves only when a loop works."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def loop(self, *costs_us: float) -> Loop:
        """A loop whose operation costs this much, the next time the next."""
        left = [*costs_us]

        async def work(times: int) -> None:
            cost_us = left.pop(0) if len(left) > 1 else left[0]
            self.now_s += times * cost_us / 1e6

        return work


async def test_the_baseline_is_taken_off_sample_by_sample() -> None:
    """The median of the differences, so that samples which somebody interrupted do not count."""
    clock = Clock()
    measured, baseline = clock.loop(7.0, 3.0, 900.0, 3.0), clock.loop(1.0)
    operation = Operation(name="x", measured=measured, baseline=baseline, times=10, limit_us=5.0)
    cost = await cost_of(operation, samples=5, clock=clock)
    assert (cost.median_us, cost.low_us, cost.high_us) == pytest.approx((2.0, 2.0, 2.0))
    assert cost.holds


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
async def test_each_operation_runs(operation: Operation) -> None:
    """With what it is measured against, as often as it is asked to."""
    for loop in (operation.measured, operation.baseline):
        await loop(3)


def test_the_table_says_what_holds() -> None:
    """A cost above its limit is marked; one without a limit has no verdict."""
    costs = [
        Cost(name="a", median_us=1.234, low_us=1.0, high_us=2.0, limit_us=5.0),
        Cost(name="b", median_us=6.0, low_us=5.0, high_us=7.0, limit_us=5.0),
        Cost(name="c", median_us=6.0, low_us=5.0, high_us=7.0, limit_us=None),
    ]
    assert table(costs).splitlines()[2:] == [
        "| a | 1.23 | 1.00 to 2.00 | 5 | holds |",
        "| b | 6.00 | 5.00 to 7.00 | 5 | **does not hold** |",
        "| c | 6.00 | 5.00 to 7.00 |  |  |",
    ]
