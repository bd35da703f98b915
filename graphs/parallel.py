"""Several things at once, ended together."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def in_parallel(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results in the order given.

    The first failure cancels the rest, is raised once they have ended, and as it is; a cancellation reaches all of them.
    """
    if len(work) == 1:
        return [await work[0]]
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
