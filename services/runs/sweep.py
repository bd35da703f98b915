"""Runs whose replica died before it could record their end are failed by whoever is left."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

from services.errors import StoreUnavailable

logger = logging.getLogger(__name__)


class Sweepable(Protocol):
    async def sweep(self, *, older_than_s: float) -> int:
        """Fail live runs that began longer ago than this and return how many. Raises StoreUnavailable."""
        ...


async def sweep_forever(
    runs: Sweepable,
    *,
    older_than_s: float,
    every_s: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Sweep now and every `every_s` seconds, whatever a sweep raises.

    Several replicas may do so at once: the store fails each run once.
    """
    while True:
        # gather makes whatever a sweep raises a value: nobody awaits this task, so an error that ended it would go unseen
        # and threads would stay busy for good. Cancelling this task still ends it.
        [lost] = await asyncio.gather(runs.sweep(older_than_s=older_than_s), return_exceptions=True)
        if isinstance(lost, StoreUnavailable):
            logger.warning("the sweep of lost runs has to wait: the database cannot be reached")
        elif isinstance(lost, BaseException):
            logger.error("the sweep of lost runs failed and will be tried again", exc_info=lost)
        elif lost:
            logger.warning("%d runs had lost their replica and were failed", lost)
        await sleep(every_s)
