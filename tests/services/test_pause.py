"""Waiting for a time that somebody else holds us to."""

import asyncio
import time

import uvloop

from services.pause import pause


async def early(seconds: float) -> bool:
    begun = time.monotonic()
    await pause(seconds)
    return time.monotonic() - begun < seconds


def test_a_pause_is_never_too_short() -> None:
    """On the loop that Ray's replicas run on, whose own timers come early four times in ten."""

    async def pauses() -> list[bool]:
        return await asyncio.gather(*(early(0.05 + step * 0.000_13) for step in range(500)))

    assert not any(uvloop.run(pauses()))
