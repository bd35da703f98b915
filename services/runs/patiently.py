"""Patience for a store that may be being restarted."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.errors import StoreUnavailable

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")


async def patiently(
    work: Callable[[], Awaitable[ResultT]],
    what: str,
    *,
    tries: int,
    retry_s: float,
    sleep: Callable[[float], Awaitable[None]],
) -> ResultT:
    """Do it, `tries` times at most and `retry_s` seconds apart. `what` is not there, for the log.

    Raises StoreUnavailable once the last try has.
    """
    for _ in range(tries - 1):
        try:
            return await work()
        except StoreUnavailable as error:
            logger.warning("%s cannot be reached yet: %s", what, error)
            await sleep(retry_s)
    return await work()
