"""How long what runs leave behind is kept, and the chore that lets go of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol

from services.errors import StoreUnavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """All in seconds; None is for ever.

    `compact_after_s`: from the end of a run until its log is put together. `ephemeral_ttl_s`: from the end of a run of an
    ephemeral thread until the thread goes, with all that is known of the run but its bill. `thread_ttl_s`: how long a thread
    may lie idle. `events_ttl_s`: from the end of a run until its log goes; its messages stay. `usage_ttl_s`: the age of a bill.
    `attempts_ttl_s`: the age of a record of somebody who was refused. `alerts_ttl_s`: from the end of an alert.
    `traces_ttl_s`: the age of a trace.
    """

    compact_after_s: float | None = 86_400.0
    ephemeral_ttl_s: float | None = 7 * 86_400.0
    thread_ttl_s: float | None = None
    events_ttl_s: float | None = 30 * 86_400.0
    usage_ttl_s: float | None = None
    attempts_ttl_s: float | None = 90 * 86_400.0
    alerts_ttl_s: float | None = 90 * 86_400.0
    traces_ttl_s: float | None = 7 * 86_400.0


class Prunable(Protocol):
    async def prune(self) -> Mapping[str, int]:
        """Let go of what is past its time, and return how much of what. Raises StoreUnavailable."""
        ...


async def prune_forever(
    store: Prunable, *, every_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> NoReturn:
    """Prune now and every `every_s` seconds, whatever pruning raises.

    Several replicas may do so at once: what one of them has in hand the others pass over.
    """
    while True:
        # gather makes whatever pruning raises a value: nobody awaits this task, so an error that ended it would go unseen and
        # the tables would grow for good. Cancelling this task still ends it.
        [pruned] = await asyncio.gather(store.prune(), return_exceptions=True)
        if isinstance(pruned, StoreUnavailable):
            logger.warning("pruning has to wait: the database cannot be reached")
        elif isinstance(pruned, BaseException):
            logger.error("pruning failed and will be tried again", exc_info=pruned)
        elif said := summary(pruned):
            logger.info("pruned: %s", said)
        await sleep(every_s)


def summary(counts: Mapping[str, int]) -> str:
    """Return the counts that are not zero as a person reads them; nothing where all are."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
