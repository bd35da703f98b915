"""What is past its time goes, what is not stays, and of a run that has not ended nothing does."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.events import RunCompleted, RunEvent, RunRestarted, RunStarted, TextDelta
from services.runs.event_codec import encode
from services.runs.prune import RetentionPolicy
from services.security.audit import ATTEMPTS, AuditAction
from services.storage.database import Database
from services.storage.retention import Retention
from services.storage.run_log import RunLogRepository
from services.types import EventId, Usage
from tests.services.storage.conftest import ALICE, BOB
from tests.services.storage.past import DAY_S, belongings, execute, rows_in, turns

pytestmark = pytest.mark.postgres

FOR_EVER = RetentionPolicy(
    compact_after_s=None,
    ephemeral_ttl_s=None,
    thread_ttl_s=None,
    events_ttl_s=None,
    usage_ttl_s=None,
    attempts_ttl_s=None,
    alerts_ttl_s=None,
    traces_ttl_s=None,
)
OF_A_RUN = (
    "threads",
    "runs",
    "messages",
    "run_events",
    "tool_effects",
    "webhooks",
    "scores",
    "feedback",
    "checkpoints",
)


async def pruned(database: Database, policy: RetentionPolicy, *, limit: int = 200) -> Mapping[str, int]:
    """What a pass took, without what it did not."""
    counts = await Retention(database, policy, limit=limit).prune()
    return {name: count for name, count in counts.items() if count}


async def test_for_ever_is_for_ever(database: Database) -> None:
    """With no time to live nothing goes but keys, whose time is fixed, and checkpoints that nobody can come back to."""
    await turns(database, ALICE, 3, age_s=1_000 * DAY_S)
    before = await rows_in(database)
    assert await pruned(database, FOR_EVER) == {"idempotency_keys": 3}
    assert await rows_in(database) == {**before, "idempotency_keys": 0}


async def test_an_ephemeral_thread_goes_with_its_run(database: Database) -> None:
    """A week after its end nothing is left of it but its bill; a younger one, and threads that are not ephemeral, stay."""
    policy = RetentionPolicy(ephemeral_ttl_s=7 * DAY_S)
    old = await turns(database, ALICE, 5, age_s=8 * DAY_S, ephemeral=True)
    young = await turns(database, ALICE, 5, age_s=6 * DAY_S, ephemeral=True)
    kept = await turns(database, ALICE, 5, age_s=8 * DAY_S)
    assert (await pruned(database, policy, limit=2))["threads"] == 5
    assert (await rows_in(database, "usage"))["usage"] == 15
    nobody = ALICE.__class__(tenant_id="nobody", user_id="nobody")
    assert {name: count for name, count in (await belongings(database, nobody, old)).items() if count} == {"usage": 5}
    for stay in (young, kept):
        left = await belongings(database, nobody, stay)
        assert (left["runs"], left["messages"], left["threads"]) == (5, 10, 0)  # a thread is found by its own id
    assert (await rows_in(database, "threads"))["threads"] == 10


async def test_an_idle_thread_goes_when_it_is_to(database: Database) -> None:
    """Threads have no time to live unless they are given one; then a thread with a later turn stays."""
    idle = await turns(database, ALICE, 3, age_s=100 * DAY_S)
    busy = await turns(database, ALICE, 1, age_s=100 * DAY_S)
    [(run_id, thread_id)] = busy.items()
    await execute(database, "UPDATE runs SET finished_at = now() - interval '1 day' WHERE id = $1", run_id)
    touched = await turns(database, BOB, 1, age_s=100 * DAY_S)
    await execute(database, "UPDATE threads SET updated_at = now() WHERE id = ANY ($1)", list(touched.values()))
    assert "threads" not in await pruned(database, RetentionPolicy())
    assert (await pruned(database, RetentionPolicy(thread_ttl_s=90 * DAY_S)))["threads"] == len(idle)
    assert await rows_in(database, "threads", "checkpoints", "checkpoint_blobs", "checkpoint_writes") == {
        "threads": 2,
        "checkpoints": 2,
        "checkpoint_blobs": 2,
        "checkpoint_writes": 2,
    }
    assert thread_id in await ids(database, "threads")


@pytest.mark.parametrize("status", ["queued", "pending", "running"])
async def test_a_run_that_has_not_ended_is_left_alone(database: Database, status: str) -> None:
    """However old it is: neither its thread, nor its log, nor its checkpoint goes."""
    await turns(database, ALICE, 2, age_s=100 * DAY_S, ephemeral=True, status=status)
    await turns(database, BOB, 2, age_s=100 * DAY_S, status=status)
    await execute(database, "UPDATE checkpoints SET channels = '{other}'")  # so that the blobs are used by none
    before = await rows_in(database)
    policy = RetentionPolicy(ephemeral_ttl_s=DAY_S, thread_ttl_s=DAY_S, events_ttl_s=DAY_S)
    assert await pruned(database, policy) == {"idempotency_keys": 4}
    assert await rows_in(database) == {**before, "idempotency_keys": 0}


async def test_a_key_holds_its_run_for_a_day(database: Database) -> None:
    """A request may be sent again for 24 hours, so an ephemeral run with a key is kept as long; then both go."""
    policy = RetentionPolicy(ephemeral_ttl_s=3_600.0)
    await turns(database, ALICE, 2, age_s=7_200.0, ephemeral=True)
    assert await pruned(database, policy) == {"checkpoints": 2, "checkpoint_writes": 2, "checkpoint_blobs": 2}
    await execute(database, "UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    assert await pruned(database, policy) == {"idempotency_keys": 2, "threads": 2}


async def test_a_webhook_that_is_due_holds_its_run(database: Database) -> None:
    """Nobody would be told of an end that is not there any more."""
    await turns(database, ALICE, 2, age_s=8 * DAY_S, ephemeral=True)
    await execute(database, "UPDATE webhooks SET next_at = now(), delivered_at = NULL")
    assert "threads" not in await pruned(database, RetentionPolicy())
    await execute(database, "UPDATE webhooks SET next_at = NULL, problem = 'refused'")
    assert (await pruned(database, RetentionPolicy()))["threads"] == 2


async def test_a_log_goes_and_the_messages_stay(database: Database) -> None:
    """After its time a run is read from its thread."""
    await turns(database, ALICE, 5, age_s=31 * DAY_S)
    young = await turns(database, ALICE, 2, age_s=29 * DAY_S)
    assert (await pruned(database, RetentionPolicy(), limit=2))["run_events"] == 10
    assert set(await ids(database, "run_events", "run_id")) == set(young)
    assert (await rows_in(database, "messages"))["messages"] == 14


async def a_long_log(database: Database, *, age_s: float) -> tuple[UUID, list[RunEvent], list[RunEvent]]:
    """A run that was taken over once; returns the events of both attempts."""
    [(run_id, thread_id)] = (await turns(database, ALICE, 1, age_s=age_s)).items()
    await execute(database, "DELETE FROM run_events WHERE run_id = $1", run_id)
    words: list[RunEvent] = [TextDelta(text=f"word{n} ") for n in range(40)]
    first: list[RunEvent] = [RunStarted(run_id=run_id, thread_id=thread_id, graph="react"), *words]
    restarted = RunRestarted(attempt=2, keep=EventId(attempt=1, seq=40))
    second = [restarted, *words, RunCompleted(finish_reason="stop", usage=Usage(), duration_s=1.0)]
    for attempt, events in ((1, first), (2, second)):
        for at in range(0, len(events), 5):
            part = events[at : at + 5]
            await execute(
                database,
                "INSERT INTO run_events (run_id, tenant_id, attempt, first_seq, seq, body) VALUES ($1, 'acme', $2, $3, $4, $5)",
                run_id,
                attempt,
                at,
                at + len(part) - 1,
                encode(part),
            )
    return run_id, first, second


async def replay(database: Database, run_id: UUID, after: EventId | None) -> list[tuple[EventId, RunEvent]]:
    """What a client is told that comes back after an event."""
    told: list[tuple[EventId, RunEvent]] = []
    while True:
        page = (await RunLogRepository(database).read({run_id: after}))[run_id]
        for batch in page.batches:
            for seq, event in enumerate(batch.events, batch.first_seq):
                after = EventId(attempt=batch.attempt, seq=seq)
                told.append((after, event))
        if not page.batches:
            assert page.ended is not None
            return told


async def test_a_compacted_log_is_replayed_as_it_was(database: Database) -> None:
    """A day after the end an attempt is one row, and whoever comes back after any event is told what they would have been."""
    run_id, first, second = await a_long_log(database, age_s=2 * DAY_S)
    young, *_ = await a_long_log(database, age_s=DAY_S / 2)
    before = await replay(database, run_id, None)
    assert [event for _, event in before] == first + second
    assert (await pruned(database, RetentionPolicy(), limit=1))["compacted_logs"] == 1
    assert sorted(await ids(database, "run_events", "run_id")).count(run_id) == 2
    assert (await ids(database, "run_events", "run_id")).count(young) == 18
    assert await replay(database, run_id, None) == before
    for place, (event_id, _) in enumerate(before):
        assert await replay(database, run_id, event_id) == before[place + 1 :]
    assert "compacted_logs" not in await pruned(database, RetentionPolicy())


async def test_a_log_that_another_replica_compacts_is_passed_over(database: Database) -> None:
    """Whoever comes second finds the run locked, and goes on."""
    run_id, *_ = await a_long_log(database, age_s=2 * DAY_S)
    async with database.raw() as other, other.transaction():
        await other.execute("SELECT FROM runs WHERE id = $1 FOR NO KEY UPDATE", run_id)
        assert "compacted_logs" not in await pruned(database, RetentionPolicy())
    assert (await pruned(database, RetentionPolicy()))["compacted_logs"] == 1


async def test_checkpoints_that_nobody_comes_back_to_go(database: Database) -> None:
    """Those of an ephemeral thread whose run has ended, and of a thread that is gone; not one that is none of ours."""
    await turns(database, ALICE, 3, ephemeral=True)
    kept = await turns(database, ALICE, 2)
    vanished = await turns(database, BOB, 3)
    await execute(database, "DELETE FROM threads WHERE id = ANY ($1)", list(vanished.values()))
    foreign = "INSERT INTO checkpoints SELECT 'not ours', '', 'c', 't', NULL, '{}', '{}', 'x', '', '{}'"
    await execute(database, foreign)
    assert await pruned(database, FOR_EVER, limit=2) == {
        "checkpoints": 6,
        "checkpoint_writes": 6,
        "checkpoint_blobs": 6,
    }
    assert set(await ids(database, "checkpoints", "thread_id")) == {*map(str, kept.values()), "not ours"}


async def test_values_that_no_checkpoint_has_go(database: Database) -> None:
    """A value or a write that belongs to no checkpoint of its thread is let go of, the others stay."""
    [thread_id] = (await turns(database, ALICE)).values()
    blob = "INSERT INTO checkpoint_blobs VALUES ($1, '', 'messages', '1', 'acme', 'msgpack', '')"
    await execute(database, blob, str(thread_id))
    write = "INSERT INTO checkpoint_writes VALUES ($1, '', 'c1', 'task', 0, 'acme', '', 'messages', 'msgpack', '')"
    await execute(database, write, str(thread_id))
    assert await pruned(database, FOR_EVER) == {"checkpoint_writes": 1, "checkpoint_blobs": 1}
    assert await ids(database, "checkpoint_blobs", "version") == ["2"]
    assert await ids(database, "checkpoint_writes", "checkpoint_id") == ["c2"]


async def test_expired_memories_go(database: Database) -> None:
    """A memory with a time to live goes when that is over, in as many steps as it takes."""
    memory = """
    INSERT INTO memories (tenant_id, user_id, namespace, key, id, value, text, ttl_s, expires_at)
    VALUES ('t', 'u', '{}', $1, gen_random_uuid(), '{}', '', abs($2::float8), now() + $2::float8 * interval '1 second')
    """
    for key, expires_in_s in (("a", -1.0), ("b", -100.0), ("c", 100.0), ("d", None)):
        await execute(database, memory, key, expires_in_s)
    assert await pruned(database, FOR_EVER, limit=1) == {"memories": 2}
    assert set(await ids(database, "memories", "key")) == {"c", "d"}


async def test_leases_that_nobody_holds_go(database: Database) -> None:
    """A lease that is over is forgotten, unless a run still waits for somebody to take it over from there."""
    lease = "INSERT INTO leases (id, expires_at) VALUES ($1, now() + $2 * interval '1 second')"
    gone, needed, held = uuid4(), uuid4(), uuid4()
    for lease_id, expires_in_s in ((gone, -100.0), (needed, -100.0), (held, 6.0)):
        await execute(database, lease, lease_id, expires_in_s)
    await turns(database, ALICE, status="running")
    await execute(database, "UPDATE runs SET owner = $1", needed)
    assert await pruned(database, FOR_EVER) == {"leases": 1}
    assert set(await ids(database, "leases")) == {needed, held}


async def test_a_trace_goes_by_its_age(database: Database) -> None:
    """A week after it was stored, with the parts of all processes; the run stays."""
    await turns(database, ALICE, 3, age_s=8 * DAY_S)
    young = await turns(database, ALICE, 2, age_s=6 * DAY_S)
    assert (await pruned(database, RetentionPolicy(), limit=2))["run_spans"] == 6
    assert set(await ids(database, "run_spans", "run_id")) == set(young)
    assert (await rows_in(database, "runs"))["runs"] == 5


async def test_old_bills_go_when_they_are_to(database: Database) -> None:
    """A bill has no time to live unless it is given one, and goes by its own age."""
    await turns(database, ALICE, 3, age_s=400 * DAY_S)
    await turns(database, ALICE, 2, age_s=300 * DAY_S)
    assert "usage" not in await pruned(database, RetentionPolicy())
    assert (await pruned(database, RetentionPolicy(usage_ttl_s=365 * DAY_S), limit=2))["usage"] == 3
    assert (await rows_in(database, "usage", "runs")) == {"usage": 2, "runs": 5}


async def test_old_records_of_attempts_go_and_of_changes_stay(database: Database) -> None:
    """Who was refused is forgotten after three months; what was done to a key is on record for good."""
    store = "INSERT INTO audit_events (id, tenant_id, at, action, user_id, target) VALUES ($1, 'acme', {at}, $2, 'ada', 'x')"
    for days in (89, 91):
        for action in AuditAction:
            await execute(database, store.format(at=f"now() - interval '{days} days'"), uuid4(), str(action))
    assert await pruned(database, FOR_EVER) == {}
    assert await pruned(database, RetentionPolicy(), limit=2) == {"audit_events": len(ATTEMPTS)}
    assert await pruned(database, RetentionPolicy(attempts_ttl_s=DAY_S)) == {"audit_events": len(ATTEMPTS)}
    assert (await rows_in(database, "audit_events"))["audit_events"] == 2 * len(set(AuditAction) - ATTEMPTS)


async def test_several_replicas_prune_at_once(database: Database) -> None:
    """Together they take everything once, and none of them fails."""
    await turns(database, ALICE, 100, age_s=8 * DAY_S, ephemeral=True)
    await turns(database, BOB, 100, age_s=40 * DAY_S)
    policy = RetentionPolicy(usage_ttl_s=DAY_S, thread_ttl_s=None)
    passes = await asyncio.gather(*(Retention(database, policy, limit=7).prune() for _ in range(4)))
    last = await Retention(database, policy).prune()  # what each left to another that had it locked
    totals = {name: sum(one[name] for one in (*passes, last)) for name in last}
    assert totals["threads"] == 100
    assert totals["run_events"] == 200
    assert totals["usage"] == 200
    assert totals["idempotency_keys"] == 200
    assert (await rows_in(database, *OF_A_RUN))["threads"] == 100


async def test_a_thread_in_use_is_not_waited_for(database: Database) -> None:
    """A turn that is just being taken in keeps its thread, and pruning does not stand in its way."""
    [thread_id] = (await turns(database, ALICE, age_s=100 * DAY_S)).values()
    policy = RetentionPolicy(thread_ttl_s=90 * DAY_S)
    async with database.raw() as other, other.transaction():
        await other.execute("UPDATE threads SET updated_at = now() WHERE id = $1", thread_id)
        assert "threads" not in await pruned(database, policy)
    assert "threads" not in await pruned(database, policy)


async def ids(database: Database, table: str, column: str = "id") -> list[Any]:
    async with database.raw() as connection:
        return [row[0] for row in await connection.fetch(f"SELECT {column} FROM {table}")]
