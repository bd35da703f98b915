"""Waiting for a time that somebody else holds us to."""

import asyncio
import time


async def pause(seconds: float) -> None:
    """Return once so many seconds of the monotonic clock are over, never before.

    asyncio.sleep may return early under uvloop, which Ray's replicas run on: its timers count whole milliseconds of a
    time that is older than now, and came up to 1.3 ms early in 40 of 100 (uvloop 0.23). Who waited for a Retry-After
    or a cooldown like that is refused once more.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:  # noqa: ASYNC110  time passes, there is no event
        await asyncio.sleep(left)
