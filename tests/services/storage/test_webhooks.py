"""What the outbox of webhooks promises, in memory and in Postgres alike."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.errors import Failure
from services.runs.webhook_message import message_body
from services.runs.webhooks import DueWebhook, WebhookOutbox
from services.storage.database import Database
from services.storage.encoding import failure_to_json, to_json
from services.storage.memory_webhooks import MemoryWebhooks
from services.storage.webhooks import WebhookRepository
from services.types import Interruption, Run, RunStatus, Usage
from tests.services.storage.conftest import ALICE, MALLORY, a_run

URL = "https://hook.example/a?b=c"
FAILED = Failure(code="model_timeout", message="No answer.", status=504, retryable=True)
DOCUMENT = Path(__file__).parents[3] / "docs" / "webhooks.md"


@dataclass(frozen=True, kw_only=True)
class Outbox:
    """The outbox, with a run's way into it; `row` is what it holds of one, `later` lets time pass, `erase` a run go."""

    webhooks: WebhookOutbox
    store: Callable[[Run], Awaitable[None]]
    row: Callable[[UUID], Awaitable[Mapping[str, Any]]]
    later: Callable[[float], Awaitable[None]]
    erase: Callable[[UUID], Awaitable[None]]

    async def ended(self, of: Run | None = None) -> Run:
        """A run that has ended, and whose webhook is due."""
        run = of or a_run()
        run = replace(run, status=RunStatus.COMPLETED, messages=(), new_thread=False) if of is None else run
        await self.store(run)
        return run

    async def take(self, *, limit: int = 10, claim_s: float = 40.0) -> list[DueWebhook]:
        return list(await self.webhooks.take(limit=limit, claim_s=claim_s))


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def outbox(request: pytest.FixtureRequest) -> Outbox:
    """The outbox, once in memory and once in Postgres."""
    return in_memory() if request.param == "memory" else in_postgres(request.getfixturevalue("database"))


def in_memory() -> Outbox:
    passed = timedelta()
    runs: dict[UUID, Run] = {}
    webhooks = MemoryWebhooks(runs.get, now=lambda: datetime.now(UTC) + passed)

    async def store(run: Run) -> None:
        runs[run.id] = run
        webhooks.add(run, URL)
        if run.status.ended:
            webhooks.ended(run.id)

    async def row(run_id: UUID) -> Mapping[str, Any]:
        kept = webhooks.rows[run_id]
        return {name: getattr(kept, name) for name in ("attempts", "next_at", "delivered_at", "problem")}

    async def later(seconds: float) -> None:
        nonlocal passed
        passed += timedelta(seconds=seconds)

    async def erase(run_id: UUID) -> None:
        del runs[run_id]

    return Outbox(webhooks=webhooks, store=store, row=row, later=later, erase=erase)


_STORE = """
WITH thread AS (
    INSERT INTO threads (id, tenant_id, user_id, ephemeral) VALUES ($2, $3, $4, false)
), run AS (
    INSERT INTO runs (id, thread_id, tenant_id, user_id, graph, status, ephemeral, on_disconnect, metadata, finished_at,
                      finish_reason, failure, interrupts)
    VALUES ($1, $2, $3, $4, $5, $6, false, 'cancel', $7, CASE WHEN $11 THEN now() END, $8, $9, $10)
), bill AS (
    INSERT INTO usage (run_id, tenant_id, user_id, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
                       model_calls, estimated)
    SELECT $1, $3, $4, $13, $14, 0, 0, $15, false WHERE $15 > 0
)
INSERT INTO webhooks (run_id, tenant_id, url, next_at) VALUES ($1, $3, $12, CASE WHEN $11 THEN now() END)
"""


def in_postgres(database: Database) -> Outbox:
    async def store(run: Run) -> None:
        usage = (run.usage.input_tokens, run.usage.output_tokens, run.usage.model_calls)
        asked = to_json([{"id": i.id, "value": i.value} for i in run.interrupts]) if run.interrupts else None
        said = (to_json(dict(run.metadata)), run.finish_reason, failure_to_json(run.failure), asked)
        whose = (run.id, run.thread_id, run.tenant_id, run.user_id, run.graph, run.status)
        async with database.raw() as connection:
            await connection.execute(_STORE, *whose, *said, run.status.ended, URL, *usage)

    async def row(run_id: UUID) -> Mapping[str, Any]:
        async with database.raw() as connection:
            found = await connection.fetchrow(
                "SELECT attempts, next_at, delivered_at, problem FROM webhooks WHERE run_id = $1", run_id
            )
        return dict(found or {})

    async def later(seconds: float) -> None:
        async with database.raw() as connection:
            await connection.execute("UPDATE webhooks SET next_at = next_at - make_interval(secs => $1)", seconds)

    async def erase(run_id: UUID) -> None:
        async with database.raw() as connection:
            await connection.execute("DELETE FROM runs WHERE id = $1", run_id)

    return Outbox(webhooks=WebhookRepository(database), store=store, row=row, later=later, erase=erase)


async def test_only_the_end_of_a_run_is_due(outbox: Outbox) -> None:
    """Before its run has ended a webhook is not taken."""
    run = await outbox.ended()
    await outbox.store(replace(a_run(), status=RunStatus.RUNNING))
    assert [(due.run.id, due.url, due.attempt) for due in await outbox.take()] == [(run.id, URL, 1)]


async def test_what_is_due_says_how_the_run_ended(outbox: Outbox) -> None:
    """Everything that a message says is there, whatever became of the run; the input is not."""
    ends = [
        replace(a_run(), status=RunStatus.COMPLETED, finish_reason="stop", metadata={"order": "A-17"}),
        replace(a_run(), status=RunStatus.FAILED, failure=FAILED),
        replace(a_run(), status=RunStatus.CANCELLED),
        replace(a_run(), status=RunStatus.INTERRUPTED, interrupts=(Interruption(id="q", value={"name": "send"}),)),
    ]
    ends[0] = replace(ends[0], usage=Usage(input_tokens=10, output_tokens=3, model_calls=1))
    for run in ends:
        await outbox.ended(run)
    taken = {due.run.id: due.run for due in await outbox.take()}
    assert len(taken) == 4
    for run in ends:
        there = taken[run.id]
        assert there.messages == ()
        assert (
            message_body(replace(there, finished_at=None)).split(b'"data"')[1] == message_body(run).split(b'"data"')[1]
        )


async def test_what_is_taken_is_not_due_until_the_claim_is_over(outbox: Outbox) -> None:
    """Whoever took it is given its time; if nothing was heard by then, another attempt begins."""
    run = await outbox.ended()
    await outbox.take(claim_s=40.0)
    assert await outbox.take() == []
    await outbox.later(39.0)
    assert await outbox.take() == []
    await outbox.later(1.0)
    assert [(due.run.id, due.attempt) for due in await outbox.take()] == [(run.id, 2)]


async def test_what_was_delivered_is_never_due_again(outbox: Outbox) -> None:
    """The row says when; even the word of an attempt that another has overtaken counts, for the receiver has the message."""
    run = await outbox.ended()
    [first] = await outbox.take(claim_s=1.0)
    await outbox.later(1.0)
    [second] = await outbox.take()
    await outbox.webhooks.delivered(first)
    await outbox.webhooks.failed(second, "HTTP 500", retry_in_s=0.0)
    await outbox.later(1e6)
    assert await outbox.take() == []
    row = await outbox.row(run.id)
    assert row.pop("delivered_at") is not None
    assert row == {"attempts": 2, "next_at": None, "problem": None}


async def test_a_failed_attempt_is_tried_again_when_it_was_said(outbox: Outbox) -> None:
    """The next attempt is due after the given time, and carries the next number; the problem is kept until it is solved."""
    run = await outbox.ended()
    [due] = await outbox.take()
    await outbox.webhooks.failed(due, "HTTP 503", retry_in_s=100.0)
    assert (await outbox.row(run.id))["problem"] == "HTTP 503"
    await outbox.later(99.0)
    assert await outbox.take() == []
    await outbox.later(1.0)
    [again] = await outbox.take()
    assert again.attempt == 2
    await outbox.webhooks.delivered(again)
    assert (await outbox.row(run.id))["problem"] is None


async def test_what_was_given_up_stays(outbox: Outbox) -> None:
    """Without a next attempt the row is never due, and says why."""
    run = await outbox.ended()
    [due] = await outbox.take()
    await outbox.webhooks.failed(due, "HTTP 410", retry_in_s=None)
    await outbox.later(1e6)
    assert await outbox.take() == []
    row = await outbox.row(run.id)
    assert row == {"attempts": 1, "next_at": None, "delivered_at": None, "problem": "HTTP 410"}


async def test_a_failure_that_another_attempt_overtook_is_not_recorded(outbox: Outbox) -> None:
    """It would put off, or give up, what another replica is at."""
    run = await outbox.ended()
    [first] = await outbox.take(claim_s=1.0)
    await outbox.later(1.0)
    await outbox.take(claim_s=40.0)
    await outbox.webhooks.failed(first, "HTTP 500", retry_in_s=None)
    row = await outbox.row(run.id)
    assert (row["problem"], row["next_at"] is None) == (None, False)


async def test_the_longest_due_go_first_and_no_more_than_asked(outbox: Outbox) -> None:
    """The limit is kept, and order of age with it."""
    order = []
    for _ in range(4):
        order.append((await outbox.ended()).id)
        await outbox.later(1.0)
    assert {due.run.id for due in await outbox.take(limit=2)} == set(order[:2])
    assert {due.run.id for due in await outbox.take(limit=3)} == set(order[2:])


async def test_tenants_can_be_left_out(outbox: Outbox) -> None:
    """Those that have their share of attempts wait, the others do not."""
    theirs = replace(a_run(principal=MALLORY), status=RunStatus.COMPLETED)
    await outbox.ended(theirs)
    run = await outbox.ended()
    taken = await outbox.webhooks.take(limit=10, claim_s=40.0, without=[MALLORY.tenant_id])
    assert [due.run.id for due in taken] == [run.id]
    assert await outbox.webhooks.take(limit=10, claim_s=40.0, without=[MALLORY.tenant_id, ALICE.tenant_id]) == []
    assert [due.run.id for due in await outbox.take()] == [theirs.id]


async def test_an_erased_run_has_no_webhook(outbox: Outbox) -> None:
    """What was erased is not told to anybody, and a word on its delivery is lost without harm."""
    run, other = await outbox.ended(), await outbox.ended()
    [*taken] = await outbox.take()
    await outbox.erase(run.id)
    for due in taken:
        await outbox.webhooks.failed(due, "HTTP 500", retry_in_s=0.0)
    assert [due.run.id for due in await outbox.take()] == [other.id]


@pytest.mark.postgres
async def test_takers_at_once_share_what_is_due(database: Database) -> None:
    """However many look at the same moment, each webhook goes to one of them, and none waits for another."""
    outbox = in_postgres(database)
    ended = [(await outbox.ended()).id for _ in range(20)]
    shares = await asyncio.gather(*(outbox.take(limit=3) for _ in range(8)))
    taken = [due.run.id for share in shares for due in share]
    assert len(taken) == len(set(taken))
    rest = [due.run.id for due in await outbox.take(limit=20)]
    assert sorted(taken + rest) == sorted(ended)


@pytest.mark.postgres
async def test_a_row_that_is_locked_is_passed_over(database: Database) -> None:
    """A replica that hangs in the middle of its statement keeps its own rows only."""
    outbox = in_postgres(database)
    held, free = await outbox.ended(), await outbox.ended()
    async with database.raw() as connection, connection.transaction():
        await connection.execute("SELECT FROM webhooks WHERE run_id = $1 FOR UPDATE", held.id)
        taken = await asyncio.wait_for(outbox.take(), timeout=5.0)
    assert [due.run.id for due in taken] == [free.id]


@pytest.mark.postgres
async def test_the_index_finds_what_is_due(database: Database) -> None:
    """Looking every second costs nothing while nothing is due, however many rows there are."""
    outbox = in_postgres(database)
    await outbox.ended()
    async with database.raw() as connection:
        await connection.execute("SET enable_seqscan = off")
        plan = await connection.fetch(
            "EXPLAIN SELECT run_id FROM webhooks WHERE next_at <= now() ORDER BY next_at LIMIT 8"
        )
    assert "ix_webhooks_due" in "\n".join(row[0] for row in plan)


@pytest.mark.postgres
async def test_an_operator_can_have_it_sent_again(database: Database) -> None:
    """The statement that docs/webhooks.md prints makes a message that was given up due, with all its attempts."""
    [statement] = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    outbox = in_postgres(database)
    run = await outbox.ended()
    [due] = await outbox.take()
    await outbox.webhooks.failed(due, "HTTP 404", retry_in_s=None)
    async with database.raw() as connection:
        await connection.execute(statement, run.id)
    assert [again.attempt for again in await outbox.take()] == [1]
