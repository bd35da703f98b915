"""Runs whose replica died before it could record their end are failed by whoever is left."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

from services.errors import StoreUnavailable

logger = logging.getLogger(__name__)


class Sweepable(Protocol):
    async def sweep(self, *, older_than_s: float) -> int:
        """Fail live runs created longer ago than this and return how many. Raises StoreUnavailable."""
        ...


async def sweep_forever(
    runs: Sweepable,
    *,
    older_than_s: float,
    every_s: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Sweep now and every `every_s` seconds. Several replicas may do so at once: the store fails each run once."""
    while True:
        try:
            if lost := await runs.sweep(older_than_s=older_than_s):
                logger.warning("%d runs had lost their replica and were failed", lost)
        except StoreUnavailable:
            logger.warning("the sweep of lost runs has to wait: the database cannot be reached")
        await sleep(every_s)
