"""Runs that a user disliked, which comes when they have long ended: what was judged weighs anew, what was not is judged.

They wait in Postgres, not in a queue, and a replica looks at as many as half the room in its queue: an evaluator that is away
or flooded delays them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import NoReturn, Protocol
from uuid import UUID

from evaluation.evaluator import Evaluator
from evaluation.sampler import Sampler, lot
from services.errors import StoreUnavailable
from services.samples import Disliked, Sample, Stratum

logger = logging.getLogger(__name__)

AT_ONCE = 32


class DislikedRuns(Protocol):
    """See `services.storage.feedback.DislikeRepository`."""

    async def look_at(self, limit: int, rate: Callable[[Disliked], float]) -> Sequence[Disliked]: ...

    async def samples(self, run_ids: Sequence[UUID]) -> Sequence[Sample]: ...


class Dislikes:
    """Offers disliked runs to the evaluator of this replica."""

    def __init__(self, runs: DislikedRuns, sampler: Sampler, evaluator: Evaluator) -> None:
        self._runs = runs
        self._sampler = sampler
        self._evaluator = evaluator

    async def look_forever(
        self, *, every_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> NoReturn:
        """Look every so often, and on while there is more. A store that is away is asked again the next time."""
        while True:
            try:
                while await self.look() == AT_ONCE:
                    pass
            except StoreUnavailable as error:
                logger.warning("disliked runs cannot be looked at: %s", error.message)
            await sleep(every_s)

    async def look(self) -> int:
        """Look at some, AT_ONCE at most; return how many there were. Raises StoreUnavailable."""
        rates: dict[UUID, float] = {}

        def rate(run: Disliked) -> float:
            return rates.setdefault(run.run_id, self._sampler.rate(run.graph, run.tenant_id, Stratum.DISLIKED))

        room = min(AT_ONCE, self._evaluator.room // 2)
        unjudged = await self._runs.look_at(room, rate) if room else ()
        taken = [run.run_id for run in unjudged if lot(run.run_id) < rates[run.run_id]]
        for sample in await self._runs.samples(taken) if taken else ():
            self._evaluator.offer(replace(sample, weight=1.0 / rates[sample.run_id]))
        return len(rates)
