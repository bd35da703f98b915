"""After it no row of any table is the user's, or leads to them; and everybody else has what they had."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Column, MetaData, Table, Text

from services.errors import InvalidRequest, ThreadBusy
from services.runs.prune import RetentionPolicy
from services.security.keys import new_key
from services.storage.api_keys import ApiKeyRepository
from services.storage.database import Database
from services.storage.erasure import ERASED, NOBODY, Erasure
from services.storage.retention import Retention
from services.storage.tables import metadata
from services.types import Principal
from tests.services.security.records import an_event
from tests.services.storage import past
from tests.services.storage.conftest import ALICE, BOB, MALLORY
from tests.services.storage.past import DAY_S, a_person, belongings, digest_of_others, execute, rows_in, turns

pytestmark = pytest.mark.postgres


def erasure(
    database: Database, *, limit: int = 200, sleep: Callable[[float], Awaitable[None]] | None = None
) -> Erasure:
    now = 0.0

    async def pause(seconds: float) -> None:
        nonlocal now
        now += seconds
        if sleep is not None:
            await sleep(seconds)

    return Erasure(database, wait_s=10.0, limit=limit, sleep=pause, clock=lambda: now)


async def bills(database: Database) -> dict[str, tuple[int, int]]:
    """How many bills there are of each tenant, and the tokens on them."""
    async with database.raw() as connection:
        rows = await connection.fetch("SELECT tenant_id, count(*) AS n, sum(input_tokens) AS sum FROM usage GROUP BY 1")
    return {row["tenant_id"]: (row["n"], row["sum"]) for row in rows}


async def test_no_row_is_left_of_an_erased_user(database: Database) -> None:
    """Every table has something of theirs before, and nothing after; others, of the same name too, keep what they have."""
    for person in (ALICE, BOB, MALLORY):
        await a_person(database, person)
    await a_person(database, ALICE)
    hers = await turns(database, ALICE, 5) | await turns(database, ALICE, 4, ephemeral=True)
    await turns(database, BOB, 3)
    await turns(database, MALLORY, 3)
    before, billed = await belongings(database, ALICE, hers), await bills(database)
    assert all(before.values()), f"the test stores nothing of the user in {[t for t, n in before.items() if not n]}"
    others = await digest_of_others(database, ALICE, hers)

    erased = await erasure(database, limit=2).erase(ALICE.tenant_id, ALICE.user_id)

    assert {table: n for table, n in (await belongings(database, ALICE, hers)).items() if n} == {}
    assert await digest_of_others(database, ALICE, hers) == others
    assert await bills(database) == billed
    assert erased == {
        "api_keys": 2,
        "users": 1,
        "memories": 2,
        "budget_accounts": 1,
        "idempotency_keys": 9,
        "threads": 9,
        "usage": 9,
        "audit_events": 4,
    }
    assert set(await erasure(database).erase(ALICE.tenant_id, ALICE.user_id)) == set(erased)


def test_a_table_of_nobody_knows_whom_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever adds a table says how it leads to its user, or that it is no user's."""
    table = Table("diaries", MetaData(), Column("tenant_id", Text), Column("text", Text))
    with pytest.raises(LookupError, match="diaries"):
        past._owned(table)
    assert set(metadata.tables) >= past.SHARED


async def test_bills_stay_in_their_order_and_lead_nowhere(database: Database) -> None:
    """A bill keeps the time in its id, and nothing else of it."""
    [run_id] = await turns(database, ALICE)
    await erasure(database).erase(ALICE.tenant_id, ALICE.user_id)
    async with database.raw() as connection:
        [row] = await connection.fetch("SELECT * FROM usage")
    assert row["user_id"] == NOBODY
    assert row["run_id"] != run_id
    assert row["run_id"].bytes[:6] == run_id.bytes[:6]


@pytest.mark.parametrize("status", ["queued", "pending", "running"])
async def test_a_user_at_work_is_not_erased(database: Database, status: str) -> None:
    """A run that has not ended stands in the way, and then nothing at all is erased."""
    await a_person(database, ALICE)
    await turns(database, ALICE, 3)
    await turns(database, ALICE, 2, status=status)
    before = await rows_in(database)
    with pytest.raises(ThreadBusy, match="2 runs"):
        await erasure(database).erase(ALICE.tenant_id, ALICE.user_id)
    assert await rows_in(database) == before
    assert "threads" in await erasure(database).erase(BOB.tenant_id, BOB.user_id)


async def test_runs_are_cancelled_and_waited_for(database: Database) -> None:
    """What nobody has ends at once; what an agent has is ended by it, when it learns that somebody wants that."""
    hers = await turns(database, ALICE, 2, status="queued") | await turns(database, ALICE, 2, status="pending")
    running = await turns(database, ALICE, 2, status="running")
    polls = 0

    async def owner(_: float) -> None:
        nonlocal polls
        polls += 1
        if polls == 3:
            end = "UPDATE runs SET status = 'cancelled', finished_at = now() WHERE cancel_reason = $1 AND status = 'running'"
            await execute(database, end, ERASED)

    await erasure(database, sleep=owner).erase(ALICE.tenant_id, ALICE.user_id, cancel=True)
    assert polls == 3
    left = await belongings(database, ALICE, hers | running)
    assert {table: n for table, n in left.items() if n} == {}


async def test_an_agent_that_does_not_answer_is_not_waited_for_long(database: Database) -> None:
    """With no agent to end a run the wait is over after its time, and the run is as it was but for the wish."""
    await turns(database, ALICE, 1, status="running")
    before = await rows_in(database)
    with pytest.raises(ThreadBusy, match="10 s"):
        await erasure(database).erase(ALICE.tenant_id, ALICE.user_id, cancel=True)
    assert await rows_in(database) == before


async def test_a_user_who_begins_anew_is_met_again(database: Database) -> None:
    """What comes while the user is erased is erased as well, and one who never stops is told of."""
    await execute(
        database,
        """
        CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (SELECT count(*) FROM documents) < old.metadata::text::int THEN
                INSERT INTO documents (tenant_id, path, position, title, text)
                VALUES ('t', gen_random_uuid()::text, 0, '', '');
                INSERT INTO threads SELECT '00000000-0000-0000-0000-000000000001', old.tenant_id, old.user_id, false,
                                           old.metadata;
            END IF; RETURN NULL;
        END $$
        """,
    )
    await execute(database, "CREATE TRIGGER again AFTER DELETE ON threads FOR EACH ROW EXECUTE FUNCTION again()")
    await turns(database, ALICE)
    await execute(database, "UPDATE threads SET metadata = '2'")
    assert (await erasure(database).erase(ALICE.tenant_id, ALICE.user_id))["threads"] == 3
    await turns(database, ALICE)
    await execute(database, "UPDATE threads SET metadata = '100'")
    with pytest.raises(ThreadBusy, match="goes on"):
        await erasure(database).erase(ALICE.tenant_id, ALICE.user_id)


async def test_a_turn_that_begins_at_this_moment_is_seen(database: Database) -> None:
    """Erasing waits for a turn that is just being taken in, and then does not take its thread from under it."""
    [thread_id] = (await turns(database, ALICE)).values()
    async with database.raw() as other, other.transaction():
        await other.execute("UPDATE threads SET updated_at = now() WHERE id = $1", thread_id)
        erasing = asyncio.create_task(erasure(database).erase(ALICE.tenant_id, ALICE.user_id))
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        async with database.raw() as onlooker:  # within a transaction the view would stay as it was first seen
            while not await onlooker.fetchval(waiting):
                assert not erasing.done()
        await other.execute(
            "INSERT INTO runs (id, thread_id, tenant_id, user_id, graph, status, ephemeral, on_disconnect)"
            " VALUES (gen_random_uuid(), $1, 'acme', 'alice', 'react', 'pending', false, 'cancel')",
            thread_id,
        )
    with pytest.raises(ThreadBusy, match="1 runs"):
        await erasing
    assert await rows_in(database, "threads", "runs") == {"threads": 1, "runs": 2}


async def test_nobody_cannot_be_erased(database: Database) -> None:
    """The bills of erased users are under no name, and stay."""
    with pytest.raises(InvalidRequest):
        await erasure(database).erase("acme", "")


async def test_ten_thousand_runs(database: Database) -> None:
    """Of the runs of ten users one pass takes what is past its time, and then one of the users is erased."""
    people = [replace(ALICE, user_id=f"user{n}") for n in range(10)]
    all_turns: dict[Principal, dict[UUID, UUID]] = {}
    for person in people:
        await a_person(database, person)
        all_turns[person] = (
            await turns(database, person, 400, age_s=40 * DAY_S)
            | await turns(database, person, 400, age_s=8 * DAY_S, ephemeral=True)
            | await turns(database, person, 200, age_s=DAY_S / 2, ephemeral=True)
        )
    assert (await rows_in(database, "runs"))["runs"] == 10_000
    pruned = await Retention(database, RetentionPolicy()).prune()
    assert (pruned["threads"], pruned["run_events"], pruned["idempotency_keys"]) == (4_000, 8_000, 8_000)

    erased, *others = people
    before = await digest_of_others(database, erased, all_turns[erased])
    assert (await belongings(database, erased, all_turns[erased]))["runs"] == 600
    assert (await erasure(database).erase(erased.tenant_id, erased.user_id))["threads"] == 600
    left = await belongings(database, erased, all_turns[erased])
    assert {table: n for table, n in left.items() if n} == {}
    assert await digest_of_others(database, erased, all_turns[erased]) == before
    assert (await rows_in(database, "runs", "usage")) == {"runs": 5_400, "usage": 10_000}
    for person in others:
        assert (await belongings(database, person, all_turns[person]))["runs"] == 600


async def test_a_key_that_is_made_while_its_user_is_erased_goes_too(database: Database) -> None:
    """Or is made after it, of a user who is new again: whichever comes first, neither fails."""
    keys = ApiKeyRepository(database)

    async def make() -> None:
        key = new_key(
            "a pepper of enough characters", key_id=uuid4(), tenant_id="acme", user_id="alice", created_at=now
        )
        await keys.add(key.record, an_event(key.record))

    now = datetime.now(UTC)
    for _ in range(20):
        await a_person(database, ALICE)
        await asyncio.gather(erasure(database).erase(ALICE.tenant_id, ALICE.user_id), *(make() for _ in range(3)))
    await erasure(database).erase(ALICE.tenant_id, ALICE.user_id)
    assert await keys.list("acme", limit=9) == []
