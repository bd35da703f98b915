"""Two agent replicas on one Postgres, each an engine and a keeper, without Ray between them: what one loses the other finds."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.errors import AgentLost
from services.events import RunCancelled, RunCompleted, RunEvent, RunRestarted, RunStarted, TextDelta, ToolFinished
from services.runs.engine import EngineLimits, RunEngine
from services.runs.lease_keeper import LeaseKeeper, LeasePolicy
from services.runs.types import GraphResult, RunContext
from services.storage.database import Database
from services.storage.leases import LeaseRepository
from services.storage.owned_runs import OwnedRunRepository
from services.storage.run_log import RunLogRepository
from services.storage.runs import RunRepository
from services.storage.wake_up import listen_forever
from services.types import CancelAction, EventId, Message, OnDisconnect, Run, RunStatus
from tests.services.runs.engine_world import batches_of
from tests.services.runs.fakes import FakeGraph, FakeGuard, FakeObserver
from tests.services.storage.conftest import ALICE, a_run

pytestmark = pytest.mark.postgres

TOOL = ToolFinished(call_id="1", name="clock", ok=True, result="noon \x00", duration_s=0.25)
SOON_S = 20.0
"""Far more than anything here takes; the beat comes only every minute, so whatever happens was told by a wake-up."""


@dataclass
class Replica:
    """`go_on` lets its graph end; until then it has said `half` and used a tool. One that is `deaf` hears no wake-up, and so
    does not beat again in a test.
    """

    database: Database
    url: str
    deaf: bool = False
    lease: UUID = field(default_factory=uuid4)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    listening: asyncio.Task[Any] | None = None

    async def open(self) -> "Replica":
        self.engine = RunEngine(
            runs=OwnedRunRepository(self.database),
            lease=self.lease,
            graphs={"assistant": FakeGraph(self.script)},
            gateways={},
            guard=FakeGuard(),
            observers=[FakeObserver()],
            prompts=lambda _: {},
            limits=EngineLimits(),
        )
        self.keeper = LeaseKeeper(
            leases=LeaseRepository(self.database),
            lease=self.lease,
            runs=self.engine,
            policy=LeasePolicy(beat_every_s=60.0, ttl_s=180.0, settle_s=0.0),
        )
        await self.keeper.start()
        if not self.deaf:
            await self._listen()
        return self

    async def _listen(self) -> None:
        connected = asyncio.Event()

        def wake(news: str) -> None:
            connected.set()
            self.keeper.wake(news)

        self.listening = asyncio.create_task(listen_forever(self.url, wake))
        await connected.wait()

    async def script(self, context: RunContext) -> GraphResult:
        context.events.text("half ")  # type: ignore[attr-defined]
        context.events.emit(TOOL)
        await self.go_on.wait()
        context.events.text("whole")  # type: ignore[attr-defined]
        return GraphResult(messages=(Message(role="assistant", content="whole"),))

    def reads(self, run: Run) -> "aclosing[Any]":
        return aclosing(batches_of(self.engine, run.id))

    async def close(self) -> None:
        if self.listening is not None:
            self.listening.cancel()
        await self.keeper.shut_down(0.0)


@pytest.fixture
async def open_replica(database: Database, migrated_database_url: str) -> AsyncIterator[Callable[..., Any]]:
    replicas: list[Replica] = []

    async def opened(*, deaf: bool = False) -> Replica:
        replicas.append(await Replica(database, migrated_database_url, deaf=deaf).open())
        return replicas[-1]

    yield opened
    await asyncio.gather(*(replica.close() for replica in replicas))


def lasting(**changes: Any) -> Run:
    return replace(a_run(**changes), on_disconnect=OnDisconnect.CONTINUE)


async def ended(database: Database, run: Run) -> Run:
    """Wait for a run's end and return it."""
    async with asyncio.timeout(SOON_S):
        while not (stored := await RunRepository(database).get(ALICE, run.id)).status.ended:
            continue
    return stored


async def log_of(database: Database, run: Run) -> list[tuple[EventId, RunEvent]]:
    pages = await RunLogRepository(database).read({run.id: None})
    return [
        (EventId(attempt=batch.attempt, seq=seq), event)
        for batch in pages[run.id].batches
        for seq, event in enumerate(batch.events, batch.first_seq)
    ]


async def test_what_is_streamed_is_what_is_logged(database: Database, open_replica: Callable[..., Any]) -> None:
    """Event for event, with its id, to the terminal one."""
    replica, run = await open_replica(), lasting()
    await RunRepository(database).create(run)
    replica.go_on.set()
    shown = []
    async with replica.reads(run) as batches:
        async for batch in batches:
            for seq, event in enumerate(batch.events, batch.first_seq):
                shown.append((EventId(attempt=batch.attempt, seq=seq), event))
    assert shown == await log_of(database, run)
    assert [type(event) for _, event in shown] == [RunStarted, TextDelta, ToolFinished, TextDelta, RunCompleted]
    assert (await ended(database, run)).status is RunStatus.COMPLETED


async def test_a_run_that_its_owner_gives_up_goes_on_elsewhere(
    database: Database, open_replica: Callable[..., Any]
) -> None:
    """The replica that stops wakes the others; the reader is sent on, and the log tells of both attempts without a gap."""
    first, second, run = await open_replica(), await open_replica(), lasting()
    await RunRepository(database).create(run)
    second.go_on.set()
    async with first.reads(run) as batches:
        await anext(batches)
        await first.keeper.shut_down(0.0)
        with pytest.raises(AgentLost):
            async for _ in batches:
                pass
    assert (await ended(database, run)).attempt == 2
    log = await log_of(database, run)
    kinds = [type(event) for _, event in log]
    assert kinds == [
        *(RunStarted, TextDelta, ToolFinished),
        *(RunRestarted, RunStarted, TextDelta, ToolFinished, TextDelta, RunCompleted),
    ]
    assert [str(event_id) for event_id, _ in log] == [*(f"1-{n}" for n in range(3)), *(f"2-{n}" for n in range(6))]


async def test_a_replica_that_was_taken_for_dead_finds_out(
    database: Database, open_replica: Callable[..., Any]
) -> None:
    """Its lease was over while it was at work: what it says from then on is not stored, and it does not end the run."""
    first, run = await open_replica(deaf=True), lasting()
    await RunRepository(database).create(run)
    async with first.reads(run) as batches:
        await anext(batches)
        async with database.raw() as connection:
            await connection.execute("UPDATE leases SET expires_at = now() - interval '1 s' WHERE id = $1", first.lease)
        second = await open_replica()
        async with asyncio.timeout(SOON_S):
            while not second.engine.active:  # noqa: ASYNC110  # turns of the loop
                await asyncio.sleep(0)
        first.go_on.set()
        with pytest.raises(AgentLost):
            async for _ in batches:
                pass
    second.go_on.set()
    assert (await ended(database, run)).attempt == 2
    log = await log_of(database, run)
    assert [event_id.seq for event_id, _ in log if event_id.attempt == 1] == [0, 1, 2]
    assert isinstance(log[-1][1], RunCompleted)


async def test_a_cancellation_reaches_the_owner(database: Database, open_replica: Callable[..., Any]) -> None:
    """Whoever writes it down: the owner is woken, and its reader hears why the run ended."""
    replica, run = await open_replica(), lasting()
    await RunRepository(database).create(run)
    async with replica.reads(run) as batches:
        await anext(batches)
        await RunRepository(database).cancel(run.id, CancelAction.INTERRUPT, "requested")
        async with asyncio.timeout(SOON_S):
            *_, last = [event async for batch in batches for event in batch.events]
    assert isinstance(last, RunCancelled)
    assert last.reason == "requested"
    assert (await log_of(database, run))[-1][1] == last
    assert (await ended(database, run)).status is RunStatus.CANCELLED


async def test_a_background_run_is_taken_at_once(database: Database, open_replica: Callable[..., Any]) -> None:
    """Nobody sends a ticket: the agents are woken, one takes it, and its log is all there is to read."""
    replicas, run = [await open_replica(), await open_replica()], lasting(background=True)
    for replica in replicas:
        replica.go_on.set()
    await RunRepository(database).create(run)
    assert (await ended(database, run)).status is RunStatus.COMPLETED
    assert isinstance((await log_of(database, run))[0][1], RunStarted)
