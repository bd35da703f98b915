"""Runs that a user disliked, which comes when they have long ended: what was judged weighs anew, what was not is judged.

They wait in Postgres, not in a queue, and a replica looks at as many as half the room in its queue: an evaluator that is away
or flooded delays them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import NoReturn, Protocol
from uuid import UUID

from evaluation.evaluator import Evaluator
from evaluation.sampler import Sampler, lot
from services.errors import StoreUnavailable
from services.samples import Disliked, Sample, Stratum

logger = logging.getLogger(__name__)

AT_ONCE = 32


class DislikeTurn(Protocol):
    """See `services.storage.feedback.DislikeTurn`."""

    async def due(self, limit: int) -> Sequence[Disliked]: ...

    async def look_at(self, rates: Mapping[UUID, float]) -> Sequence[UUID]: ...

    async def samples(self, run_ids: Sequence[UUID]) -> Sequence[Sample]: ...


class DislikedRuns(Protocol):
    def turn(self) -> AbstractAsyncContextManager[DislikeTurn]: ...


class Dislikes:
    """Offers disliked runs to the evaluator of this replica."""

    def __init__(self, runs: DislikedRuns, sampler: Sampler, evaluator: Evaluator) -> None:
        self._runs = runs
        self._sampler = sampler
        self._evaluator = evaluator

    async def look_forever(
        self, *, every_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> NoReturn:
        """Look every so often, and on while there is more, whatever looking raises."""
        while True:
            # gather makes whatever looking raises a value: nobody awaits this task, so an error that ended it would go unseen
            # and dislikes would wait for good. Cancelling this task still ends it.
            [seen] = await asyncio.gather(self.look(), return_exceptions=True)
            if isinstance(seen, StoreUnavailable):
                logger.warning("disliked runs cannot be looked at: %s", seen.message)
            elif isinstance(seen, BaseException):
                logger.error("looking at disliked runs failed and will be tried again", exc_info=seen)
            if seen != AT_ONCE:
                await sleep(every_s)

    async def look(self) -> int:
        """Look at some, AT_ONCE at most; return how many there were. Raises StoreUnavailable.

        They are offered before it is certain that the look is on record: what is lost on the way there is judged twice, which
        makes the same scores, and not never.
        """
        room = min(AT_ONCE, self._evaluator.room // 2)
        if not room:
            return 0
        async with self._runs.turn() as turn:
            rates = {
                run.run_id: self._sampler.rate(run.graph, run.tenant_id, Stratum.DISLIKED)
                for run in await turn.due(room)
            }
            unjudged = await turn.look_at(rates) if rates else ()
            taken = [run_id for run_id in unjudged if lot(run_id) < rates[run_id]]
            for sample in await turn.samples(taken) if taken else ():
                self._evaluator.offer(replace(sample, weight=1.0 / rates[sample.run_id]))
        return len(rates)
