"""What only the stores in Postgres do: constraints behind them, the bill, scores, plain values."""

import pickle
from dataclasses import replace
from datetime import date
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.errors import InvalidRequest, NotFound
from services.samples import MeansWanted, Score
from services.storage.checkpointer import AsyncpgSaver
from services.storage.database import Database
from services.storage.runs import RunRepository
from services.storage.scores import ScoreRepository
from services.storage.threads import ThreadRepository
from services.types import CancelAction, IdempotencyKey, Submission, Usage
from tests.services.storage.conftest import (
    ALICE,
    ANSWERED,
    BOB,
    LEASE,
    MALLORY,
    TTL_S,
    a_row,
    a_run,
    in_postgres,
)

pytestmark = pytest.mark.postgres

KEYED = Submission(idempotency=IdempotencyKey(key="k", digest=bytes(32)))


async def test_usage_is_the_bill_and_outlives_its_thread(database: Database) -> None:
    """After erasure nothing is left of a thread but its usage, which names provider, model and tokens."""
    threads, scores, saver = ThreadRepository(database), ScoreRepository(database), AsyncpgSaver(database)
    run = a_run()
    await in_postgres(database).answered(run)
    await scores.add([a_score(run.id)])
    checkpoint = {"v": 1, "id": "1", "ts": "", "channel_values": {"a": 1}, "channel_versions": {"a": "1"}}
    stored = await saver.aput(
        {"configurable": {"thread_id": str(run.thread_id), "checkpoint_ns": ""}},
        {**checkpoint, "versions_seen": {}, "updated_channels": None},  # type: ignore[typeddict-item]
        {},
        {"a": "1"},
    )
    await saver.aput_writes(stored, [("a", 1)], "task")
    await threads.delete(ALICE, run.thread_id)
    tables = ("threads", "runs", "messages", "scores", "checkpoints", "checkpoint_blobs", "checkpoint_writes")
    async with database.raw() as connection:
        for table in tables:
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table
        bill = dict(await connection.fetchrow("SELECT * FROM usage") or ())
    expected = {
        "run_id": run.id, "tenant_id": "acme", "user_id": "alice", "provider": "openai", "model": "small",
        "input_tokens": 10, "output_tokens": 3, "cached_tokens": 2, "reasoning_tokens": 1, "model_calls": 1,
        "estimated": False, "cost_micros": 7,
    }  # fmt: skip
    assert {name: value for name, value in bill.items() if name != "created_at"} == expected


async def test_the_bill_of_an_erased_run_is_kept(database: Database) -> None:
    """A run that was closed and erased while its replica still paid for it is billed."""
    runs = RunRepository(database)
    run = a_run()
    await runs.create(run)
    await runs.finish(run, replace(ANSWERED, messages=(), usage=Usage()))
    await ThreadRepository(database).delete(ALICE, run.thread_id)
    await runs.finish(run, ANSWERED)
    async with database.raw() as connection:
        assert await connection.fetchval("SELECT input_tokens FROM usage WHERE run_id = $1", run.id) == 10


async def test_the_database_itself_allows_one_live_run_per_thread(database: Database) -> None:
    """Even SQL that goes past the repository cannot make a second one."""
    run = a_run()
    await RunRepository(database).create(run)
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_runs_live"):
        await sql(
            database,
            "INSERT INTO runs (id, tenant_id, thread_id, user_id, graph, status, ephemeral, on_disconnect)"
            " SELECT gen_random_uuid(), tenant_id, thread_id, user_id, graph, status, ephemeral, on_disconnect FROM runs",
        )


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE runs SET status = 'lost', finished_at = now()", "ck_runs_status"),
        ("UPDATE runs SET status = 'completed'", "ck_runs_finished"),
        ("UPDATE runs SET on_disconnect = 'shrug'", "ck_runs_on_disconnect"),
        ("UPDATE runs SET finish_reason = 'bored'", "ck_runs_finish_reason"),
        ("UPDATE runs SET status = 'interrupted'", "ck_runs_finished"),
        ("UPDATE runs SET finished_at = now(), status = 'queued'", "ck_runs_finished"),
        ("UPDATE runs SET cancel_action = 'forget'", "ck_runs_cancel_action"),
        ("UPDATE messages SET role = 'ghost'", "ck_messages_role"),
    ],
)
async def test_the_database_refuses_what_no_code_of_ours_would_write(
    database: Database, statement: str, constraint: str
) -> None:
    """A wrong status, policy, reason or role stops at its check constraint."""
    await RunRepository(database).create(a_run())
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await sql(database, statement)


async def sql(database: Database, statement: str) -> None:
    async with database.raw() as connection:
        await connection.execute(statement)


async def test_what_is_read_travels_without_the_driver(database: Database) -> None:
    """What is read from Postgres holds the standard library's UUIDs, so its pickle does not name asyncpg."""
    stores = in_postgres(database)
    claim = await stores.claimed(a_run())
    await stores.runs.cancel(claim.run.id, CancelAction.INTERRUPT, "enough")
    again = await stores.runs.create(a_run(), KEYED)
    again = await stores.runs.create(a_run(), KEYED)
    wishes = await stores.leases.beat(LEASE, TTL_S)
    ids = {
        claim.run.id,
        claim.run.thread_id,
        again.run_id,
        wishes[0].run_id,
        *await stores.log.read({claim.run.id: None}),
    }
    ids |= set(await stores.owned.append([a_row(replace(claim.fence, attempt=9), 0, [])]))
    assert {type(id_) for id_ in ids} == {UUID}
    assert b"asyncpg" not in pickle.dumps((claim, again, wishes))


def a_score(run_id: UUID, **changes: object) -> Score:
    score = Score(
        run_id=run_id,
        tenant_id="acme",
        criterion="helpfulness",
        value=0.5,
        reason="So-so.",
        judge_model="small",
        rubric_version="1",
        weight=4.0,
        graph="react",
    )
    return replace(score, **changes)  # type: ignore[arg-type]


async def test_scores_are_kept_per_criterion_judge_and_rubric(database: Database) -> None:
    """Unscored stays None; the same judge's second opinion replaces its first; a new rubric stands beside the old."""
    runs, scores = RunRepository(database), ScoreRepository(database)
    run = a_run()
    await runs.create(run)
    first, unscored = a_score(run.id), a_score(run.id, criterion="safety", value=None, reason="a\x00b")
    await scores.add([first, unscored])
    second, newer = a_score(run.id, value=0.75), a_score(run.id, rubric_version="2", value=1.0)
    await scores.add([second])
    await scores.add([newer])
    assert list(await scores.of_run(ALICE, run.id)) == [second, newer, replace(unscored, reason="a\ufffdb")]


async def test_scores_belong_to_the_run_of_their_tenant(database: Database) -> None:
    """Scores for an erased run or under another tenant are dropped, and only the owner reads those that are kept."""
    runs, scores = RunRepository(database), ScoreRepository(database)
    run = a_run()
    await runs.create(run)
    await scores.add([])
    await scores.add([a_score(uuid7()), a_score(run.id, tenant_id="evil"), a_score(run.id)])
    assert [score.tenant_id for score in await scores.of_run(ALICE, run.id)] == ["acme"]
    for principal, run_id in ((BOB, run.id), (MALLORY, run.id), (ALICE, uuid7())):
        with pytest.raises(NotFound):
            await scores.of_run(principal, run_id)


async def test_means_are_of_all_runs_by_the_day_on_which_they_ended(database: Database) -> None:
    """Weighted, with the error of a ratio; unscored ones are counted and not 0; another judge is another mean.

    One whose judge was spoken to is counted and in none.
    """
    runs, scores, stores = [a_run() for _ in range(6)], ScoreRepository(database), in_postgres(database)
    for run in runs:
        await stores.answered(run)
    early, *others = runs
    async with database.raw() as connection:
        await connection.execute("UPDATE runs SET finished_at = '2026-10-01T23:59:59Z' WHERE id = $1", early.id)
        ids = [run.id for run in others]
        await connection.execute("UPDATE runs SET finished_at = '2026-10-02T00:00:00Z' WHERE id = ANY ($1)", ids)
    values = zip(others[:4], ((0.2, 1.0), (0.8, 20.0), (1.0, 20.0), (None, 20.0)), strict=True)
    await scores.add([a_score(run.id, value=value, weight=weight) for run, (value, weight) in values])
    await scores.add([a_score(early.id, value=0.5), a_score(others[0].id, judge_model="large", value=None)])
    await scores.add([a_score(others[4].id, value=10.0, weight=500.0, flagged=True)])
    wanted = MeansWanted(first=date(2026, 10, 1), last=date(2026, 10, 2), by_day=True)
    first, large, small = await scores.means("acme", wanted)
    assert (first.day, first.n, first.mean, first.standard_error) == (date(2026, 10, 1), 1, 0.5, None)
    assert (large.judge_model, large.n, large.unscored, large.mean, large.runs) == ("large", 0, 1, None, None)
    assert (small.day, small.n, small.unscored, small.flagged, small.runs) == (date(2026, 10, 2), 3, 1, 1, 41.0)
    mean = (0.2 + 20 * 0.8 + 20 * 1.0) / 41
    off = (0.2 - mean) ** 2 + (20 * (0.8 - mean)) ** 2 + (20 * (1.0 - mean)) ** 2
    assert (small.mean, small.standard_error) == pytest.approx((mean, (off * 3 / 2) ** 0.5 / 41))
    [_, together] = await scores.means("acme", replace(wanted, by_day=False))
    assert (together.day, together.n, together.flagged, together.runs) == (None, 4, 1, 45.0)
    nothing = [replace(wanted, first=date(2026, 10, 3), last=date(2026, 10, 9)), replace(wanted, graph="other"),
               replace(wanted, criterion="safety")]  # fmt: skip
    assert [await scores.means("acme", other) for other in nothing] == [[], [], []]
    assert await scores.means("evil", wanted) == []
    with pytest.raises(InvalidRequest):
        await scores.means("acme", replace(wanted, graph="a\x00b"))
