"""The ledger of effects over a store that may be restarted: a tool waits a little, and the run does not fail for it."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from services.errors import StoreUnavailable
from services.runs.effects import Begun, EffectCall, EffectOutcome, Effects, Entry, Ruling
from services.types import Fence, Run

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")


class PatientEffects:
    """Implements `Effects` over another ledger: each method is tried `tries` times, `retry_s` seconds apart.

    Raises StoreUnavailable once the last try has.
    """

    def __init__(
        self, ledger: Effects, *, tries: int, retry_s: float, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._ledger = ledger
        self._tries = tries
        self._retry_s = retry_s
        self._sleep = sleep

    async def begin(self, fence: Fence, call: EffectCall, *, again: bool = False) -> Begun | Entry:
        """Begin a call.

        A try whose answer was lost may have been recorded. What it began is this very call, and nobody has made it: no other
        attempt can have begun it since the run was ours. So the next try may begin it again.
        """
        tried = again

        async def once() -> Begun | Entry:
            nonlocal tried
            again, tried = tried, True
            return await self._ledger.begin(fence, call, again=again)

        return await self._patiently(once)

    async def done(self, fence: Fence, call_id: str, outcome: EffectOutcome) -> None:
        await self._patiently(lambda: self._ledger.done(fence, call_id, outcome))

    async def recall(self, run: Run, call_ids: Collection[str]) -> Mapping[str, Entry]:
        return await self._patiently(lambda: self._ledger.recall(run, call_ids))

    async def rule(self, fence: Fence, rulings: Sequence[Ruling]) -> None:
        await self._patiently(lambda: self._ledger.rule(fence, rulings))

    async def _patiently(self, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
        for _ in range(self._tries - 1):
            try:
                return await work()
            except StoreUnavailable as error:
                logger.warning("the ledger of effects cannot be reached yet: %s", error)
                await self._sleep(self._retry_s)
        return await work()
