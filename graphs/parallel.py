"""Several things at once, ended together."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def in_parallel(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results in the order given.

    The first failure cancels the rest and is raised as it is, not wrapped in a group; a cancellation reaches all of them.
    """
    if len(work) == 1:
        return [await work[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(item) for item in work]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
