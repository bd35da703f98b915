"""One operation, many times, against the same loop without it."""

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Loop = Callable[[int], Awaitable[None]]
"""Does something so many times."""


async def nothing(times: int) -> None:
    """The loop itself."""
    for _ in range(times):
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What is measured, and what it is measured against. `times` is one sample: a few milliseconds of it.

    A sample that is much longer than that is likelier to be interrupted by another process than not.
    """

    name: str
    measured: Loop
    baseline: Loop = nothing
    times: int
    limit_us: float | None = None
    """What it may cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds per operation, the baseline taken off: the median of the samples, and the middle half of them."""

    name: str
    median_us: float
    low_us: float
    high_us: float
    limit_us: float | None

    @property
    def holds(self) -> bool | None:
        """Whether it costs no more than it may; None where nothing was set."""
        return None if self.limit_us is None else self.median_us <= self.limit_us


async def cost_of(operation: Operation, *, samples: int, clock: Callable[[], float] = time.perf_counter) -> Cost:
    """Measure. Operation and baseline take turns, so that what disturbs the machine disturbs both."""
    for loop in (operation.measured, operation.baseline):
        await loop(operation.times)
    costs_us = []
    for _ in range(samples):
        with_it_s = await _seconds(operation.measured, operation.times, clock)
        without_s = await _seconds(operation.baseline, operation.times, clock)
        costs_us.append(1e6 * (with_it_s - without_s) / operation.times)
    low_us, median_us, high_us = statistics.quantiles(costs_us, n=4, method="inclusive")
    return Cost(name=operation.name, median_us=median_us, low_us=low_us, high_us=high_us, limit_us=operation.limit_us)


async def _seconds(loop: Loop, times: int, clock: Callable[[], float]) -> float:
    began_s = clock()
    await loop(times)
    return clock() - began_s


def table(costs: Sequence[Cost]) -> str:
    """Return the costs in Markdown."""
    lines = ["| operation | median, µs | middle half, µs | may cost, µs | |", "|---|---:|---:|---:|---|"]
    for cost in costs:
        limit = "" if cost.limit_us is None else f"{cost.limit_us:g}"
        verdict = {None: "", True: "holds", False: "**does not hold**"}[cost.holds]
        lines.append(
            f"| {cost.name} | {cost.median_us:.2f} | {cost.low_us:.2f} to {cost.high_us:.2f} | {limit} | {verdict} |"
        )
    return "\n".join(lines)
