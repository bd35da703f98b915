"""One turn at a time per thread, whatever comes: the same in memory and in Postgres."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import cycle
from typing import Any, cast

import pytest
from uuid_utils.compat import uuid7

from services.errors import NotFound, ThreadBusy
from services.runs.ports import Created
from services.storage.database import Database
from services.storage.leases import LeaseRepository
from services.types import CancelAction, Multitask, Run, RunOutcome, RunStatus, Submission, Usage
from tests.services.storage.conftest import ALICE, ANSWERED, LEASE, TTL_S, Stores, a_run, in_postgres

AT_ONCE = 50
CANCELLED = RunOutcome(status=RunStatus.CANCELLED, messages=(), usage=Usage())


def by(strategy: Multitask) -> Submission:
    return Submission(multitask=strategy)


STOPPING = pytest.mark.parametrize(
    ("strategy", "action"),
    [(Multitask.INTERRUPT, CancelAction.INTERRUPT), (Multitask.ROLLBACK, CancelAction.ROLLBACK)],
)


async def status_of(stores: Stores, run: Run) -> RunStatus:
    return (await stores.runs.get(ALICE, run.id)).status


@pytest.mark.parametrize("strategy", list(Multitask))
async def test_a_turn_in_a_free_thread_is_sent_to_an_agent(stores: Stores, strategy: Multitask) -> None:
    """Whatever its strategy, in a new thread and in one whose runs have ended: it is pending, and nobody is woken."""
    async with stores.listening() as heard:
        first = a_run()
        assert await stores.runs.create(first, by(strategy)) == Created(run_id=first.id, status=RunStatus.PENDING)
        await stores.runs.finish(first, ANSWERED)
        second = a_run(thread_id=first.thread_id)
        assert (await stores.runs.create(second, by(strategy))).status is RunStatus.PENDING
        assert await heard() == set()
    assert (await stores.owned.claim(second.id, LEASE)).run.id == second.id
    assert await status_of(stores, first) is RunStatus.COMPLETED


@pytest.mark.parametrize("strategy", list(Multitask))
async def test_a_turn_needs_a_thread_that_is_its_own_and_stays(stores: Stores, strategy: Multitask) -> None:
    """An unknown or ephemeral thread has no second turn, whatever its strategy."""
    ephemeral = await stores.answered(a_run(ephemeral=True))
    for thread_id in (uuid7(), ephemeral.thread_id):
        with pytest.raises(NotFound):
            await stores.runs.create(a_run(thread_id=thread_id), by(strategy))


async def test_a_turn_is_refused_while_another_waits(stores: Stores) -> None:
    """Not only a live run keeps a thread busy: what is queued there comes first."""
    background = a_run(background=True)
    assert (await stores.runs.create(background)).status is RunStatus.QUEUED
    for run in (a_run(thread_id=background.thread_id), a_run(thread_id=background.thread_id, background=True)):
        with pytest.raises(ThreadBusy):
            await stores.runs.create(run)
    [claim] = await stores.take_queued()
    with pytest.raises(ThreadBusy):
        await stores.runs.create(a_run(thread_id=background.thread_id))
    await stores.owned.finish(claim, ANSWERED, [])
    await stores.runs.create(a_run(thread_id=background.thread_id))


async def test_turns_wait_for_each_other(stores: Stores) -> None:
    """Enqueued turns are taken one after the other, in the order in which they came, and each by one agent."""
    first = await stores.claimed(a_run("0"))
    behind = [a_run(str(n), thread_id=first.run.thread_id) for n in (1, 2, 3)]
    for run in behind:
        assert (await stores.runs.create(run, by(Multitask.ENQUEUE))).status is RunStatus.QUEUED
    assert await stores.take_queued() == []
    await stores.owned.finish(first, ANSWERED, [])
    for run in behind:
        [claim] = await stores.take_queued(background=False)
        assert (claim.run.id, claim.run.messages, claim.run.attempt) == (run.id, run.messages, 1)
        assert await stores.take_queued() == []
        await stores.owned.finish(claim, ANSWERED, [])
    assert (await stores.said(first.run.thread_id))[::2] == ["0", "1", "2", "3"]


@STOPPING
async def test_a_turn_stops_the_one_at_work(stores: Stores, strategy: Multitask, action: CancelAction) -> None:
    """Its owner is told and woken; the new turn waits for its end, and is announced then."""
    claim = await stores.claimed(a_run("one"))
    second = a_run("two", thread_id=claim.run.thread_id)
    async with stores.listening() as heard:
        assert (await stores.runs.create(second, by(strategy))).status is RunStatus.QUEUED
        assert await heard() == {"cancel"}
        [wish] = await stores.leases.beat(LEASE, TTL_S)
        assert (wish.run_id, wish.action, wish.reason) == (claim.run.id, action, "next_turn")
        assert await stores.take_queued() == []
        await stores.owned.finish(claim, replace(ANSWERED, status=RunStatus.CANCELLED), [])
        assert await heard() == {"queued"}
    [taken] = await stores.take_queued(background=False)
    assert taken.run.id == second.id
    left = ["one", "Two years.", "two"] if strategy is Multitask.INTERRUPT else ["two"]
    assert await stores.said(second.thread_id) == left


@STOPPING
async def test_a_turn_stops_what_nobody_has_begun(stores: Stores, strategy: Multitask, action: CancelAction) -> None:
    """Pending and queued turns end at once, and the new one has the thread for itself."""
    pending = a_run("one")
    await stores.runs.create(pending, Submission(webhook_url="https://example.com/"))
    waiting = a_run("two", thread_id=pending.thread_id)
    await stores.runs.create(waiting, by(Multitask.ENQUEUE))
    last = a_run("three", thread_id=pending.thread_id)
    assert (await stores.runs.create(last, by(strategy))).status is RunStatus.PENDING
    for run in (pending, waiting):
        stored = await stores.runs.get(ALICE, run.id)
        assert (stored.status, stored.cancel_reason) == (RunStatus.CANCELLED, "next_turn")
    assert list(await stores.due()) == [pending.id]
    left = ["one", "two", "three"] if action is CancelAction.INTERRUPT else ["three"]
    assert await stores.said(last.thread_id) == left
    assert (await stores.owned.claim(last.id, LEASE)).run.id == last.id


@STOPPING
async def test_a_turn_stops_everything_before_it(stores: Stores, strategy: Multitask, action: CancelAction) -> None:
    """With one at work and two waiting only the newest is left to run, and other threads are not touched."""
    claim, elsewhere = await stores.claimed(a_run()), await stores.claimed(a_run())
    behind = [a_run(thread_id=claim.run.thread_id) for _ in range(2)]
    for run in behind:
        await stores.runs.create(run, by(Multitask.ENQUEUE))
    last = a_run(thread_id=claim.run.thread_id)
    assert (await stores.runs.create(last, by(strategy))).status is RunStatus.QUEUED
    assert [await status_of(stores, run) for run in behind] == [RunStatus.CANCELLED] * 2
    assert await stores.leases.beat(LEASE, TTL_S)
    assert (await stores.runs.get(ALICE, elsewhere.run.id)).cancel_reason is None
    await stores.owned.finish(claim, CANCELLED, [])
    assert [taken.run.id for taken in await stores.take_queued()] == [last.id]


async def test_a_later_rollback_overrules_an_interruption(stores: Stores) -> None:
    """A turn that was promised a thread without the one at work gets it, whoever wanted to keep that before."""
    claim = await stores.claimed(a_run("one"))
    await stores.runs.create(a_run("two", thread_id=claim.run.thread_id), by(Multitask.INTERRUPT))
    await stores.runs.create(a_run("three", thread_id=claim.run.thread_id), by(Multitask.ROLLBACK))
    await stores.owned.finish(claim, ANSWERED, [])
    assert await stores.said(claim.run.thread_id) == ["three"]


async def work(stores: Stores, done: asyncio.Event) -> None:
    """An agent's replica: takes what is pending or queued, stops what is to be stopped, and ends the rest."""
    lease = uuid7()
    while True:
        last = done.is_set()
        cancelled = {wish.run_id for wish in await stores.leases.beat(lease, TTL_S)}
        claims = [
            *await stores.leases.take_over(lease, limit=2, pickup_s=0.0, settle_s=0.0),
            *await stores.leases.take_queued(lease, limit=2, background=True),
        ]
        for claim in claims:
            outcome = CANCELLED if claim.run.id in cancelled else ANSWERED
            await stores.owned.finish(claim, outcome, [])
        if last and not claims:
            return
        await asyncio.sleep(0)


async def submitted(stores: Stores, runs: list[Run], strategies: Sequence[Multitask]) -> list[Created | BaseException]:
    """Submit runs at once, by each strategy in turn, while three agents work, and let these come to an end."""
    done = asyncio.Event()
    agents = [asyncio.create_task(work(stores, done)) for _ in range(3)]
    results = await asyncio.gather(
        *(stores.runs.create(run, by(strategy)) for run, strategy in zip(runs, cycle(strategies), strict=False)),
        return_exceptions=True,
    )
    done.set()
    await asyncio.gather(*agents)
    return list(results)


@pytest.mark.parametrize("strategy", list(Multitask))
async def test_many_turns_at_once_while_agents_work(stores: Stores, strategy: Multitask) -> None:
    """Of fifty turns in one thread each is refused or comes to an end, and what its strategy promises holds.

    That a thread never has two live runs is `uq_runs_live`: breaking it would be an error here.
    """
    thread_id = (await stores.answered(a_run("first"))).thread_id
    runs = [a_run(str(n), thread_id=thread_id) for n in range(AT_ONCE)]
    results = await submitted(stores, runs, [strategy])
    refused = [result for result in results if isinstance(result, BaseException)]
    assert {type(error) for error in refused} <= ({ThreadBusy} if strategy is Multitask.REJECT else set())
    assert len(refused) < AT_ONCE
    ends = {
        run.id: await status_of(stores, run) for run, r in zip(runs, results, strict=True) if isinstance(r, Created)
    }
    said = await stores.said(thread_id)
    completed = [run_id for run_id, status in ends.items() if status is RunStatus.COMPLETED]
    assert set(ends.values()) <= {RunStatus.COMPLETED, RunStatus.CANCELLED}
    assert said.count("Two years.") == 1 + len(completed)
    if strategy in (Multitask.REJECT, Multitask.ENQUEUE):
        assert len(completed) == len(ends)
    assert len(completed) >= 1
    kept = len(completed) if strategy is Multitask.ROLLBACK else len(ends)
    assert len(said) == 2 + kept + len(completed)


@pytest.mark.parametrize("strategy", [Multitask.ENQUEUE, Multitask.INTERRUPT, Multitask.ROLLBACK])
async def test_many_turns_at_once_behind_one_at_work(stores: Stores, strategy: Multitask) -> None:
    """While nobody ends anything: all fifty are queued, or all but the last are cancelled."""
    claim = await stores.claimed(a_run())
    runs = [a_run(thread_id=claim.run.thread_id) for _ in range(AT_ONCE)]
    await asyncio.gather(*(stores.runs.create(run, by(strategy)) for run in runs))
    statuses = [await status_of(stores, run) for run in runs]
    queued = AT_ONCE if strategy is Multitask.ENQUEUE else 1
    assert (statuses.count(RunStatus.QUEUED), statuses.count(RunStatus.CANCELLED)) == (queued, AT_ONCE - queued)
    assert await status_of(stores, claim.run) is RunStatus.RUNNING


@pytest.mark.postgres
@pytest.mark.parametrize("strategies", [*((strategy,) for strategy in Multitask), tuple(Multitask)])
async def test_a_thread_never_has_two_live_runs(database: Database, strategies: tuple[Multitask, ...]) -> None:
    """Looked at again and again while fifty turns are sent and agents work; all turns of one kind, and of all kinds."""
    stores = in_postgres(database)
    thread_id = (await stores.answered(a_run())).thread_id
    most = 0

    async def look() -> None:
        nonlocal most
        while True:
            async with database.raw() as connection:
                live = "SELECT count(*) FROM runs WHERE thread_id = $1 AND status IN ('pending', 'running')"
                most = max(most, await connection.fetchval(live, thread_id))

    looking = asyncio.create_task(look())
    runs = [a_run(thread_id=thread_id) for _ in range(AT_ONCE)]
    results = await submitted(stores, runs, strategies)
    looking.cancel()
    await asyncio.wait([looking])
    assert most == 1
    assert {type(result) for result in results} <= {Created, ThreadBusy}
    taken_in = [run for run, result in zip(runs, results, strict=True) if isinstance(result, Created)]
    assert {await status_of(stores, run) for run in taken_in} <= {RunStatus.COMPLETED, RunStatus.CANCELLED}


class Lent:
    """A database with one connection, in a transaction that has begun: what is stored as of `now()` is as of then."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[Any]:
        yield self._connection


@pytest.mark.postgres
async def test_on_record_no_two_turns_overlap(database: Database) -> None:
    """An agent's statement may have been on its way when the turn before ended, and have seen that all the same."""
    stores = in_postgres(database)
    first = await stores.claimed(a_run())
    second = a_run(thread_id=first.run.thread_id)
    await stores.runs.create(second, by(Multitask.ENQUEUE))
    async with database.raw() as connection, connection.transaction():
        await connection.fetchval("SELECT now()")
        await stores.owned.finish(first, ANSWERED, [])
        taking = LeaseRepository(cast(Database, Lent(connection)))
        [claim] = await taking.take_queued(LEASE, limit=1, background=False)
    ended = (await stores.runs.get(ALICE, first.run.id)).finished_at
    assert claim.run.id == second.id
    assert ended is not None
    assert claim.run.started_at is not None
    assert ended < claim.run.started_at
