"""Several things at once: in order, all of them or none, and none of them left behind."""

import asyncio

import pytest

from graphs.parallel import in_parallel


class Work:
    """Things that wait until they are told, or fail at once, and note when they have ended."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.begun = 0
        self.ended: list[str] = []

    async def waits(self, name: str) -> str:
        self.begun += 1
        try:
            await self.go_on.wait()
        finally:
            await asyncio.sleep(0)  # an end that takes its time
            self.ended.append(name)
        return name

    async def fails(self) -> str:
        raise KeyError("no")


async def test_results_are_in_the_order_given() -> None:
    work = Work()
    work.go_on.set()
    assert await in_parallel([work.waits("a"), work.waits("b"), work.waits("c")]) == ["a", "b", "c"]
    assert await in_parallel([work.waits("a")]) == ["a"]
    assert await in_parallel([]) == []


async def test_the_first_failure_ends_the_others_first() -> None:
    """It is raised as it is, once nothing is at work any more."""
    work = Work()
    with pytest.raises(KeyError):
        await in_parallel([work.waits("a"), work.fails(), work.waits("b")])
    assert sorted(work.ended) == ["a", "b"]


async def test_a_cancellation_reaches_all() -> None:
    work = Work()
    together = asyncio.create_task(in_parallel([work.waits("a"), work.waits("b")]))
    while work.begun < 2:  # noqa: ASYNC110  # turns of the loop
        await asyncio.sleep(0)
    together.cancel()
    with pytest.raises(asyncio.CancelledError):
        await together
    assert sorted(work.ended) == ["a", "b"]
