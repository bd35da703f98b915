"""What only several connections can do to a run: statements that meet, and what each of them sees of the other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.errors import IdempotencyMismatch, NotFound, RunSuperseded, ThreadBusy
from services.events import TextDelta
from services.storage.checkpointer import AsyncpgSaver
from services.storage.database import Database
from services.types import CancelAction, IdempotencyKey, Multitask, RunStatus, Submission, Usage
from tests.services.storage.conftest import ALICE, ANSWERED, LEASE, TTL_S, Stores, a_row, a_run, in_postgres

pytestmark = pytest.mark.postgres

ResultT = TypeVar("ResultT")

ENQUEUE = Submission(multitask=Multitask.ENQUEUE)
TO_ROLL_BACK = "UPDATE runs SET cancel_action = 'rollback' WHERE id = $1"
TAKE_OVER = "UPDATE runs SET attempt = attempt + 1 WHERE id = $1"


@pytest.fixture
def stores(database: Database) -> Stores:
    return in_postgres(database)


@asynccontextmanager
async def first(database: Database, statement: str, *args: object) -> AsyncIterator[None]:
    """Execute a statement, and commit it only when the block is over."""
    async with database.raw() as connection, connection.transaction():
        await connection.execute(statement, *args)
        yield


async def blocked(database: Database, work: Awaitable[ResultT]) -> "asyncio.Task[ResultT]":
    """Begin something, and return when it waits for a lock."""
    task = asyncio.ensure_future(work)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(20), database.raw() as connection:
        while not await connection.fetchval(waiting):
            assert not task.done()
    return task


async def test_an_end_waits_for_a_take_over(database: Database, stores: Stores) -> None:
    """It is refused although the run was its own when it began to write, and nothing of it is stored, not even the bill."""
    claim = await stores.claimed(a_run())
    async with first(database, TAKE_OVER, claim.run.id):
        row = a_row(claim.fence, 0, [TextDelta(text="stale")])
        end = await blocked(database, stores.owned.finish(claim, ANSWERED, [row]))
    with pytest.raises(RunSuperseded):
        await end
    stored = await stores.runs.get(ALICE, claim.run.id)
    assert (stored.status, stored.usage) == (RunStatus.RUNNING, Usage())
    assert len(await stores.said(claim.run.thread_id)) == 1


async def test_the_log_waits_for_a_take_over(database: Database, stores: Stores) -> None:
    """Rows that meet a take-over are refused: no attempt is written to once the next has begun."""
    claim = await stores.claimed(a_run())
    async with first(database, TAKE_OVER, claim.run.id):
        rows = [a_row(claim.fence, 0, [TextDelta(text="stale")])]
        append = await blocked(database, stores.owned.append(rows))
    assert await append == {claim.run.id}
    assert (await stores.log.read({claim.run.id: None}))[claim.run.id].batches == ()


async def test_a_take_over_passes_by_what_is_being_written(database: Database, stores: Stores) -> None:
    """A run that somebody else takes, ends or logs at this moment is left to them."""
    claim = await stores.claimed(a_run())
    await stores.later(TTL_S + 1)
    async with first(database, TAKE_OVER, claim.run.id):
        assert await stores.take_lost() == []
    assert [taken.run.attempt for taken in await stores.take_lost()] == [3]


async def test_an_end_sees_a_rollback_that_it_has_met(database: Database, stores: Stores) -> None:
    """A completed run becomes a cancelled one when the wish was there first, by however little."""
    claim = await stores.claimed(a_run(), Submission(webhook_url="https://example.com/"))
    async with first(database, TO_ROLL_BACK, claim.run.id):
        end = await blocked(database, stores.owned.finish(claim, ANSWERED, []))
    assert await end is RunStatus.CANCELLED
    assert await stores.said(claim.run.thread_id) == []
    assert (await stores.runs.get(ALICE, claim.run.id)).usage == ANSWERED.usage
    assert list(await stores.due()) == [claim.run.id]


async def test_a_late_end_sees_the_end_that_it_has_met(database: Database, stores: Stores) -> None:
    """Told how the run stands now, not how it stood when the statement began; its bill and its text are kept."""
    claim = await stores.claimed(a_run())
    closed = "UPDATE runs SET status = 'failed', finished_at = now() WHERE id = $1"
    async with first(database, closed, claim.run.id):
        end = await blocked(
            database, stores.owned.finish(claim, ANSWERED, [a_row(claim.fence, 0, [TextDelta(text="x")])])
        )
    assert await end is RunStatus.FAILED
    assert len(await stores.said(claim.run.thread_id)) == 2
    assert (await stores.log.read({claim.run.id: None}))[claim.run.id].batches == ()


async def test_a_cancellation_that_meets_a_claim_goes_to_the_owner(database: Database, stores: Stores) -> None:
    """The run was pending when the cancellation began, and is at work when it is through: it is not ended behind its back."""
    run = a_run()
    await stores.leases.beat(LEASE, TTL_S)
    await stores.runs.create(run)
    claimed = "UPDATE runs SET status = 'running', started_at = now(), owner = $2, attempt = 1 WHERE id = $1"
    async with first(database, claimed, run.id, LEASE):
        cancel = await blocked(database, stores.runs.cancel(run.id, CancelAction.INTERRUPT, "enough"))
    await cancel
    assert (await stores.runs.get(ALICE, run.id)).status is RunStatus.RUNNING
    assert [wish.run_id for wish in await stores.leases.beat(LEASE, TTL_S)] == [run.id]


async def test_a_turn_that_meets_the_end_of_the_one_before_is_taken(database: Database, stores: Stores) -> None:
    """An interrupting turn that had to wait for that end finds the thread free."""
    claim = await stores.claimed(a_run())
    ended = "UPDATE runs SET status = 'completed', finished_at = now() WHERE id = $1"
    second = a_run(thread_id=claim.run.thread_id)
    async with first(database, ended, claim.run.id):
        create = await blocked(database, stores.runs.create(second, Submission(multitask=Multitask.INTERRUPT)))
    assert (await create).status is RunStatus.PENDING
    assert (await stores.runs.get(ALICE, claim.run.id)).status is RunStatus.COMPLETED


async def test_an_end_that_meets_a_turn_which_stops_it_announces_that_turn(database: Database, stores: Stores) -> None:
    """It does not see the queued turn yet, and still wakes the agents for it."""
    claim = await stores.claimed(a_run())
    async with stores.listening() as heard:
        interrupted = "UPDATE runs SET cancel_action = 'interrupt' WHERE id = $1"
        async with first(database, interrupted, claim.run.id):
            end = await blocked(database, stores.owned.finish(claim, ANSWERED, []))
        await end
        assert await heard() == {"queued"}


async def test_a_queued_run_that_meets_another_turn_is_left_to_the_next_time(
    database: Database, stores: Stores
) -> None:
    """Somebody else has the thread by the time that it is taken: no error, no second live run."""
    done = await stores.answered(a_run())
    queued = a_run(thread_id=done.thread_id, background=True)
    await stores.runs.create(queued)
    another = """
        INSERT INTO runs (id, tenant_id, thread_id, user_id, graph, status, ephemeral, on_disconnect)
        SELECT $2, tenant_id, thread_id, user_id, graph, 'pending', ephemeral, on_disconnect FROM runs WHERE id = $1
    """
    other_id = uuid7()
    async with first(database, another, queued.id, other_id):
        take = await blocked(database, stores.take_queued())
    assert await take == []
    assert (await stores.runs.get(ALICE, queued.id)).status is RunStatus.QUEUED
    await stores.runs.cancel(other_id, CancelAction.INTERRUPT, "enough")
    assert [claim.run.id for claim in await stores.take_queued()] == [queued.id]


async def test_a_turn_that_meets_the_erasure_of_its_thread_is_refused(database: Database, stores: Stores) -> None:
    """By every strategy: there is no such thread any more."""
    for strategy in Multitask:
        run = await stores.answered(a_run())
        async with first(database, "DELETE FROM threads WHERE id = $1", run.thread_id):
            create = await blocked(
                database, stores.runs.create(a_run(thread_id=run.thread_id), Submission(multitask=strategy))
            )
        with pytest.raises(NotFound):
            await create


async def test_an_erasure_waits_for_a_queued_run_that_is_being_taken(database: Database, stores: Stores) -> None:
    """By the time that it would be erased it is at work, and its thread stays."""
    queued = a_run(background=True)
    await stores.runs.create(queued)
    taken = "UPDATE runs SET status = 'running', attempt = 1 WHERE id = $1"
    async with first(database, taken, queued.id):
        erase = await blocked(database, stores.threads.delete(ALICE, queued.thread_id))
    with pytest.raises(ThreadBusy):
        await erase
    assert (await stores.runs.get(ALICE, queued.id)).status is RunStatus.RUNNING


async def test_many_rows_are_locked_in_one_order(stores: Stores) -> None:
    """Readers and logs of the same runs, named in different orders, never wait for each other in a circle."""
    claims = [await stores.claimed(a_run()) for _ in range(12)]
    work: list[Awaitable[Any]] = []
    for seq in range(25):
        ids = [claim.run.id for claim in claims]
        rows = [a_row(claim.fence, seq, [TextDelta(text="x")]) for claim in claims]
        work += [stores.log.watch(ids), stores.log.watch(ids[::-1]), stores.owned.append(rows[::-1])]
    await asyncio.gather(*work)
    pages = await stores.log.read({claim.run.id: None for claim in claims})
    assert {len(page.batches) for page in pages.values()} == {25}


async def test_what_every_request_does_is_one_statement_each(migrated_database_url: str) -> None:
    """Taking in, claiming and ending a run, with its events, by the rule and with all that may be stored with it."""
    database = Database.open(migrated_database_url, pool_size=1)
    stores = in_postgres(database)
    first_turn = await stores.answered(a_run())
    statements: list[str] = []

    def note(record: asyncpg.connection.LoggedQuery) -> None:
        statements.append(record.query)

    async with database.raw() as connection:
        connection.add_query_logger(note)
    for run in (a_run(), a_run(thread_id=first_turn.thread_id), replace(a_run(), decisions=({"type": "approve"},))):
        statements.clear()
        await stores.runs.create(run)
        claim = await stores.owned.claim(run.id, LEASE)
        await stores.owned.finish(claim, ANSWERED, [a_row(claim.fence, 0, [TextDelta(text="x")])])
        await asyncio.sleep(0)  # the logger is called in a turn of its own
        assert len(statements) == 3
    async with database.raw() as connection:
        connection.remove_query_logger(note)
    await database.close()


async def test_a_refusal_does_not_cost_a_connection(migrated_database_url: str) -> None:
    """The transaction is rolled back, and the connection used again."""
    database = Database.open(migrated_database_url, pool_size=1)
    stores = in_postgres(database)
    key = IdempotencyKey(key="k", digest=bytes(32))
    run = a_run()
    await stores.runs.create(run, Submission(idempotency=key))

    async def backend() -> int:
        async with database.raw() as connection:
            assert not connection.is_in_transaction()
            return int(await connection.fetchval("SELECT pg_backend_pid()"))

    before = await backend()
    for error, turn, submission in (
        (ThreadBusy, a_run(thread_id=run.thread_id, background=True), Submission()),
        (NotFound, a_run(thread_id=uuid7()), ENQUEUE),
        (IdempotencyMismatch, a_run(), Submission(idempotency=replace(key, digest=bytes([1]) * 32))),
    ):
        with pytest.raises(error):
            await stores.runs.create(turn, submission)
        assert await backend() == before
    await database.close()


async def checkpoint(saver: AsyncpgSaver, thread_id: UUID, id_: str, run_id: UUID, **values: object) -> None:
    """Store a checkpoint as a run's, with a write towards the next one. Each value is its channel's version too."""
    versions = {channel: str(value) for channel, value in values.items()}
    body = {"v": 1, "id": id_, "ts": "", "channel_values": values, "channel_versions": versions, "versions_seen": {}}
    config = await saver.aput(
        {"configurable": {"thread_id": str(thread_id), "checkpoint_ns": ""}},
        {**body, "updated_channels": None},  # type: ignore[typeddict-item]
        {"run_id": str(run_id)},
        dict(versions),
    )
    await saver.aput_writes(config, [("a", 1)], "task")


async def test_a_rollback_takes_the_checkpoints_of_its_run(database: Database, stores: Stores) -> None:
    """The thread's newest checkpoint is that of the turn before again, with its values and its writes, and other threads
    keep theirs."""
    saver = AsyncpgSaver(database)
    before = await stores.answered(a_run())
    elsewhere = await stores.answered(a_run())
    claim = await stores.claimed(a_run(thread_id=before.thread_id))
    await checkpoint(saver, before.thread_id, "1", before.id, a="one", b="kept")
    await checkpoint(saver, before.thread_id, "2", claim.run.id, a="two", b="kept")
    await checkpoint(saver, before.thread_id, "3", claim.run.id, a="three", b="kept")
    await checkpoint(saver, elsewhere.thread_id, "9", elsewhere.id, a="nine")
    await stores.runs.cancel(claim.run.id, CancelAction.ROLLBACK, "enough")
    await stores.owned.finish(claim, replace(ANSWERED, status=RunStatus.CANCELLED), [])
    newest = await saver.aget_tuple({"configurable": {"thread_id": str(before.thread_id)}})
    assert newest is not None
    assert newest.checkpoint["channel_values"] == {"a": "one", "b": "kept"}
    assert newest.pending_writes == [("task", "a", 1)]
    async with database.raw() as connection:
        rows = {
            table: await connection.fetchval(
                f"SELECT count(*) FROM {table} WHERE thread_id = $1", str(before.thread_id)
            )
            for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
        }
    assert rows == {"checkpoints": 1, "checkpoint_blobs": 2, "checkpoint_writes": 1}
    assert await saver.aget_tuple({"configurable": {"thread_id": str(elsewhere.thread_id)}}) is not None
