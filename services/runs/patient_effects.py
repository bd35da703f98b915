"""The ledger of effects over a store that may be restarted: a tool waits a little, and the run does not fail for it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from services.runs.effects import Begun, EffectCall, EffectOutcome, Effects, Entry, Ruling
from services.runs.patiently import patiently
from services.types import Fence, Run

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
        return await patiently(
            work, "the ledger of effects", tries=self._tries, retry_s=self._retry_s, sleep=self._sleep
        )
