"""Runs that should have ended long ago, and that nobody has ended, are failed by whoever is left."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

from services.errors import StoreUnavailable

logger = logging.getLogger(__name__)


class Sweepable(Protocol):
    async def sweep(self, *, overdue_s: float, queue_ttl_s: float) -> int:
        """Fail runs that have not ended so long after their deadline, and background runs that have been queued for so long.

        Return how many. Raises StoreUnavailable.
        """
        ...


async def sweep_forever(
    runs: Sweepable,
    *,
    overdue_s: float,
    queue_ttl_s: float,
    every_s: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Sweep now and every `every_s` seconds, whatever a sweep raises.

    Several replicas may do so at once: the store fails each run once.
    """
    while True:
        # gather makes whatever a sweep raises a value: nobody awaits this task, so an error that ended it would go unseen
        # and threads would stay busy for good. Cancelling this task still ends it.
        [lost] = await asyncio.gather(runs.sweep(overdue_s=overdue_s, queue_ttl_s=queue_ttl_s), return_exceptions=True)
        if isinstance(lost, StoreUnavailable):
            logger.warning("the sweep of lost runs has to wait: the database cannot be reached")
        elif isinstance(lost, BaseException):
            logger.error("the sweep of lost runs failed and will be tried again", exc_info=lost)
        elif lost:
            logger.warning("%d runs had been lost and were failed", lost)
        await sleep(every_s)
