"""Turns of the event loop, for tests in which nothing takes time."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], *, turns: int = 1_000) -> None:
    """Let the loop turn until the condition holds; fail when it does not come to hold."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not come to that")


async def some_turns(turns: int = 20) -> None:
    """Let everything happen that needs no time."""
    for _ in range(turns):
        await asyncio.sleep(0)
