"""A keeper on fakes, in which time passes by hand."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

from services.runs.lease_keeper import LeaseKeeper, LeasePolicy
from services.types import Cancellation, Claim
from tests.services.runs.fakes import a_run
from tests.services.runs.manual_time import ManualTime
from tests.services.runs.turns import some_turns

LEASE = UUID(int=7)
POLICY = LeasePolicy(
    beat_every_s=2.0,
    ttl_s=6.0,
    retry_s=0.5,
    settle_s=8.0,
    pickup_s=5.0,
    take_back_s=10.0,
    room=10,
    background_slots=2,
    wake_gap_s=0.02,
)


class FakeLeases:
    """Leases that say in `asked` what was asked of them, and raise `failure` while there is one.

    `lost`, `queued`, `background` and `unknown` are there to be taken; `unwanted` is what each beat brings back.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failure: Exception | None = None
        self.broken: dict[str, Exception] = {}
        self.hold: asyncio.Event | None = None
        self.unwanted: list[Cancellation] = []
        self.lost: list[Claim] = []
        self.queued: list[Claim] = []
        self.background: list[Claim] = []
        self.unknown: list[Claim] = []
        self.held: Collection[UUID] = ()
        self.released = False

    async def beat(self, lease: UUID, ttl_s: float) -> Sequence[Cancellation]:
        assert (lease, ttl_s) == (LEASE, 6.0)
        await self._ask("beat")
        return self.unwanted

    async def take_over(self, lease: UUID, *, limit: int, pickup_s: float, settle_s: float) -> Sequence[Claim]:
        assert (lease, pickup_s, settle_s) == (LEASE, 5.0, 8.0)
        await self._ask("take_over")
        return taken(self.lost, limit)

    async def take_queued(self, lease: UUID, *, limit: int, background: bool) -> Sequence[Claim]:
        assert lease == LEASE
        await self._ask("take_background" if background else "take_queued")
        return taken(self.background if background else self.queued, limit)

    async def take_back(self, lease: UUID, *, held: Collection[UUID], begun_before_s: float) -> Sequence[Claim]:
        assert (lease, begun_before_s) == (LEASE, 10.0)
        await self._ask("take_back")
        self.held = list(held)
        return taken(self.unknown, len(self.unknown))

    async def release(self, lease: UUID) -> None:
        await self._ask("release")
        self.released = True

    async def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.hold and what != "release":
            await self.hold.wait()
        failure = self.failure or self.broken.get(what)
        if failure:
            raise failure


class FakeRuns:
    """Runs that end when a test says so."""

    def __init__(self) -> None:
        self.adopted: dict[UUID, asyncio.Event] = {}
        self.busy = 0
        self.background = 0
        self.stopped: list[tuple[UUID, str]] = []
        self.drained: list[float] = []
        self.draining = asyncio.Event()
        self.draining.set()

    @property
    def active(self) -> int:
        return self.busy + len(self.held)

    @property
    def held(self) -> Collection[UUID]:
        return [run_id for run_id, over in self.adopted.items() if not over.is_set()]

    def adopt(self, claim: Claim) -> "asyncio.Task[None]":
        over = self.adopted[claim.run.id] = asyncio.Event()

        async def watch() -> None:
            await over.wait()

        return asyncio.create_task(watch())

    def stop(self, run_id: UUID, reason: str) -> None:
        self.stopped.append((run_id, reason))

    async def drain(self, timeout_s: float) -> None:
        self.drained.append(timeout_s)
        await self.draining.wait()


class World:
    def __init__(self) -> None:
        self.time = ManualTime()
        self.leases = FakeLeases()
        self.runs = FakeRuns()
        self.slept: list[float] = []
        self.keeper = LeaseKeeper(
            leases=self.leases,
            lease=LEASE,
            runs=self.runs,
            policy=POLICY,
            clock=self.time,
            call_later=self.time.call_later,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time.advance(seconds)
        await asyncio.sleep(0)

    async def started(self) -> "World":
        await self.keeper.start()
        await some_turns()
        self.leases.asked.clear()
        return self

    async def passes(self, seconds: float) -> list[str]:
        """Let time pass, and return what the store was asked meanwhile."""
        self.leases.asked.clear()
        self.time.advance(seconds)
        await some_turns()
        return self.leases.asked

    async def wakes(self, *news: str) -> list[str]:
        self.leases.asked.clear()
        for item in news:
            self.keeper.wake(item)
        await some_turns()
        return self.leases.asked


def taken(there: list[Claim], limit: int) -> list[Claim]:
    claims = there[:limit]
    del there[:limit]
    return claims


def claims(count: int) -> list[Claim]:
    return [Claim(run=a_run(attempt=2), remaining_s=60.0) for _ in range(count)]
