"""How an agent replica stays the owner of its runs, hears what others want of them, and comes by more.

It beats every two seconds. A beat renews its lease and brings back which of its runs are to be stopped; as often it takes runs
that have lost their owner, and queued ones, as far as it has room. A wake-up has it do so at once.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from services.errors import StoreUnavailable
from services.runs.buffer import Timer, call_later
from services.runs.ports import Leases
from services.types import Claim

logger = logging.getLogger(__name__)

CANCEL = "cancel"
"""The wake-up that says that somebody wants a run stopped."""
QUEUED = "queued"
"""The wake-up that says that there may be a run to take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasePolicy:
    """`ttl_s` is how long after its last beat a replica is taken to be alive, `room` how many runs it has at most when it takes
    more, of which `background_slots` in the background.

    A pending run for which no agent has come in `pickup_s` is taken like one that lost its owner. Nothing is taken in the
    first `settle_s` of a store that was away: owners that are alive are given the time to say so. Every `take_back_s` the
    replica looks for runs that the store has given to it, and of which the answer was lost. Wake-ups are heard `wake_gap_s`
    apart at least, however many there are.
    """

    beat_every_s: float = 2.0
    ttl_s: float = 6.0
    retry_s: float = 0.5
    settle_s: float = 8.0
    pickup_s: float = 5.0
    take_back_s: float = 10.0
    room: int = 100
    background_slots: int = 4
    wake_gap_s: float = 0.02


class TakenRuns(Protocol):
    """The runs of the replica: what `RunEngine` is to its keeper."""

    @property
    def active(self) -> int: ...

    @property
    def background(self) -> int: ...

    @property
    def held(self) -> Collection[UUID]: ...

    def adopt(self, claim: Claim) -> "asyncio.Task[None]": ...

    def stop(self, run_id: UUID, reason: str) -> None: ...

    async def drain(self, timeout_s: float) -> None: ...


class LeaseKeeper:
    """One per agent replica. Nothing that the store does ends it, nor any run: what a replica writes whose lease has run out is
    refused where another one has taken the run over, and holds where none has.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        lease: UUID,
        runs: TakenRuns,
        policy: LeasePolicy,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], Timer] = call_later,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._leases = leases
        self._lease = lease
        self._runs = runs
        self._policy = policy
        self._clock = clock
        self._call_later = call_later
        self._sleep = sleep
        self._keeping: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()
        self._wanted: set[str] = set()
        self._taking = True
        self._busy_taking = asyncio.Lock()
        self._beat_at: float | None = None
        self._next_beat_at = self._next_take_at = float("-inf")
        self._looked_at = float("-inf")
        self._settled_at = float("-inf")
        self._take_back_at = clock() + policy.take_back_s
        self._away = False

    async def start(self) -> None:
        """Return once the store knows the lease, which is kept from then on. Before that no run may be taken: it would look
        lost. A store that cannot be reached is waited for.
        """
        while not await self._tried(self._beat()):
            await self._sleep(self._policy.retry_s)
        # In an empty context: Serve cancels with a request what was started in its context.
        self._keeping = asyncio.get_running_loop().create_task(self._keep(), context=contextvars.Context())

    def wake(self, news: str) -> None:
        """Look at once: CANCEL for runs to stop, QUEUED for runs to take, anything else for both."""
        self._wanted |= {news} if news in (CANCEL, QUEUED) else {CANCEL, QUEUED}
        self._awake.set()

    async def shut_down(self, timeout_s: float) -> None:
        """Take no more runs, let those at work end or give them up, and release the lease for others to go on with them."""
        self._taking = False
        async with self._busy_taking:  # what is being taken now is let end, or given up, like the others
            pass
        await self._runs.drain(timeout_s)
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        try:
            await self._leases.release(self._lease)
        except StoreUnavailable:
            logger.warning("the lease could not be released: others take its runs over once it has run out")

    async def _keep(self) -> None:
        while True:
            await self._until_due()
            wanted, self._wanted = self._wanted, set()
            self._looked_at = self._clock()
            if (self._looked_at >= self._next_beat_at or CANCEL in wanted) and not await self._tried(self._beat()):
                self._next_take_at = self._next_beat_at
                continue
            if self._looked_at >= self._next_take_at or QUEUED in wanted:
                self._next_take_at = self._looked_at + self._policy.beat_every_s
                await self._take()

    async def _until_due(self) -> None:
        """Wait until a beat is due, or somebody has woken us; not at once where that has only just happened."""
        self._awake.clear()
        wait_s = min(self._next_beat_at, self._next_take_at) - self._clock()
        if wait_s > 0 and not self._wanted:
            timer = self._call_later(wait_s, self._awake.set)
            try:
                await self._awake.wait()
            finally:
                timer.cancel()
        gap_s = self._looked_at + self._policy.wake_gap_s - self._clock()
        if gap_s > 0:
            await self._sleep(gap_s)

    async def _beat(self) -> None:
        """Renew the lease, and stop what is to be stopped."""
        began = self._clock()
        self._next_beat_at = began + self._policy.retry_s
        unwanted = await self._leases.beat(self._lease, self._policy.ttl_s)
        self._next_beat_at = began + self._policy.beat_every_s
        if self._beat_at is not None and began - self._beat_at > self._policy.ttl_s:
            logger.warning("the lease had run out, and is held again: others may have taken runs over")
            # What kept this replica from its store may have kept others, who are alive.
            self._settled_at = self._clock() + self._policy.settle_s
        self._beat_at = began
        for cancellation in unwanted:
            self._runs.stop(cancellation.run_id, cancellation.reason)

    async def _take(self) -> None:
        """Take lost runs, then queued ones: those that somebody waits for as far as there is room, others into their slots."""
        async with self._busy_taking:
            if self._clock() >= self._take_back_at:
                self._take_back_at = self._clock() + self._policy.take_back_s
                await self._tried(self._adopt(1, self._unknown))  # they are its own, whether it has room or not
            if self._clock() >= self._settled_at:
                await self._tried(self._adopt(self._room, self._lost))
            await self._tried(self._adopt(self._room, partial(self._queued, background=False)))
            slots = self._policy.background_slots - self._runs.background
            await self._tried(self._adopt(min(self._room, slots), partial(self._queued, background=True)))

    @property
    def _room(self) -> int:
        return self._policy.room - self._runs.active

    def _lost(self, limit: int) -> Awaitable[Sequence[Claim]]:
        policy = self._policy
        return self._leases.take_over(self._lease, limit=limit, pickup_s=policy.pickup_s, settle_s=policy.settle_s)

    def _unknown(self, _: int) -> Awaitable[Sequence[Claim]]:
        return self._leases.take_back(self._lease, held=self._runs.held, begun_before_s=self._policy.take_back_s)

    def _queued(self, limit: int, *, background: bool) -> Awaitable[Sequence[Claim]]:
        return self._leases.take_queued(self._lease, limit=limit, background=background)

    async def _adopt(self, limit: int, take: Callable[[int], Awaitable[Sequence[Claim]]]) -> None:
        if limit <= 0 or not self._taking:
            return
        for claim in await take(limit):
            # When it has ended there is room for another one.
            self._runs.adopt(claim).add_done_callback(lambda _: self.wake(QUEUED))

    async def _tried(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do it, and return whether that went well."""
        # gather makes whatever is raised a value: nobody awaits the keeper, and without it all its runs would look lost.
        problem: BaseException | None = (await asyncio.gather(work, return_exceptions=True))[0]
        if isinstance(problem, StoreUnavailable):
            if not self._away:
                logger.warning("the store cannot be reached: the lease is not renewed, and runs go on")
            self._away = True
        elif isinstance(problem, BaseException):
            logger.error("keeping the lease failed, and will be tried again", exc_info=problem)
        else:
            self._away = False
        return problem is None
