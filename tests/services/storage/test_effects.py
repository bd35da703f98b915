"""What the ledger of tool effects promises, in memory and in Postgres alike."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.errors import RunSuperseded
from services.runs.effects import Begun, EffectCall, EffectOutcome, Effects, Entry, Ruling
from services.storage.database import Database
from services.storage.effects import EffectRepository
from services.storage.memory_effects import MemoryEffects
from services.types import Fence, Run, RunStatus
from tests.services.storage.conftest import MALLORY, a_run

SENT = EffectOutcome(outcome="ok", text="sent")
MAIL = EffectCall(id="m1:0", tool="send_mail")

Store = Callable[[Run], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The ledger, and `store`, which makes a run what it is in the store."""

    effects: Effects
    store: Store

    async def run(self, *, thread_id: UUID | None = None, of: Run | None = None) -> Run:
        """A run at its first attempt, in a thread of its own unless `thread_id` says otherwise."""
        run = replace(of or a_run(thread_id=thread_id), status=RunStatus.RUNNING, attempt=1)
        await self.store(run)
        return run

    async def taken_over(self, run: Run) -> Run:
        later = replace(run, attempt=run.attempt + 1)
        await self.store(later)
        return later

    async def ended(self, run: Run) -> Run:
        over = replace(run, status=RunStatus.INTERRUPTED, finished_at=datetime.now(UTC))
        await self.store(over)
        return over


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """The ledger, once in memory and once in Postgres."""
    return in_memory() if request.param == "memory" else in_postgres(request.getfixturevalue("database"))


def in_memory() -> Ledger:
    runs: dict[UUID, Run] = {}

    async def store(run: Run) -> None:
        runs[run.id] = run

    return Ledger(effects=MemoryEffects(runs.get), store=store)


def in_postgres(database: Database) -> Ledger:
    async def store(run: Run) -> None:
        async with database.raw() as connection:
            await connection.execute(
                "INSERT INTO threads (id, tenant_id, user_id, ephemeral) VALUES ($1, $2, $3, false) ON CONFLICT DO NOTHING",
                run.thread_id,
                run.tenant_id,
                run.user_id,
            )
            await connection.execute(
                """
                INSERT INTO runs (id, thread_id, tenant_id, user_id, graph, status, ephemeral, on_disconnect, attempt,
                                  finished_at)
                VALUES ($1, $2, $3, $4, $5, $6, false, $7, $8, $9)
                ON CONFLICT (id) DO UPDATE SET status = excluded.status, attempt = excluded.attempt,
                    finished_at = excluded.finished_at
                """,
                run.id,
                run.thread_id,
                run.tenant_id,
                run.user_id,
                run.graph,
                run.status,
                run.on_disconnect,
                run.attempt,
                run.finished_at,
            )

    return Ledger(effects=EffectRepository(database), store=store)


def fence(run: Run) -> Fence:
    return Fence(run_id=run.id, attempt=run.attempt)


async def test_a_call_is_begun_once(ledger: Ledger) -> None:
    """The first intent is granted with the call's key; the second reads that it was begun, and nothing of its end."""
    run = await ledger.run()
    key = f"{run.id}:m1:0"
    assert await ledger.effects.begin(fence(run), MAIL) == Begun(key=key)
    assert await ledger.effects.begin(fence(run), MAIL) == Entry(key=key, runs=frozenset({run.id}))


async def test_a_call_begun_twice_at_once_is_granted_once(ledger: Ledger) -> None:
    """Of two intents at the same moment one is granted."""
    run = await ledger.run()
    both = await asyncio.gather(*(ledger.effects.begin(fence(run), MAIL) for _ in range(2)))
    assert sorted(type(answer).__name__ for answer in both) == ["Begun", "Entry"]


async def test_an_outcome_is_remembered(ledger: Ledger) -> None:
    """Whoever takes the run over reads what the call came to, and the first outcome stays."""
    run = await ledger.run()
    await ledger.effects.begin(fence(run), MAIL)
    await ledger.effects.done(fence(run), MAIL.id, SENT)
    await ledger.effects.done(fence(run), MAIL.id, replace(SENT, text="sent again"))
    later = await ledger.taken_over(run)
    known = Entry(key=f"{run.id}:m1:0", runs=frozenset({run.id}), outcome=SENT)
    assert await ledger.effects.recall(later, [MAIL.id, "m1:1"]) == {MAIL.id: known}
    assert await ledger.effects.begin(fence(later), MAIL) == known
    assert await ledger.effects.begin(fence(later), MAIL, again=True) == known


async def test_a_call_may_be_begun_again(ledger: Ledger) -> None:
    """What was begun and not done may be begun again on purpose, with the same key."""
    run = await ledger.run()
    first = await ledger.effects.begin(fence(run), MAIL)
    later = await ledger.taken_over(run)
    assert await ledger.effects.begin(fence(later), MAIL, again=True) == first


@pytest.mark.parametrize("over", ["taken over", "ended", "unknown"])
async def test_a_stale_fence_writes_nothing(ledger: Ledger, over: str) -> None:
    """Once a run was taken over or has ended, or was never there, its ledger is closed to whoever had it."""
    run = a_run() if over == "unknown" else await ledger.run()
    now = run
    if over != "unknown":
        await ledger.effects.begin(fence(run), MAIL)
        now = await (ledger.taken_over(run) if over == "taken over" else ledger.ended(run))
    with pytest.raises(RunSuperseded):
        await ledger.effects.begin(fence(run), EffectCall(id="m1:1", tool="send_mail"))
    with pytest.raises(RunSuperseded):
        await ledger.effects.begin(fence(run), MAIL, again=True)
    with pytest.raises(RunSuperseded):
        await ledger.effects.done(fence(run), MAIL.id, SENT)
    with pytest.raises(RunSuperseded):
        await ledger.effects.rule(fence(run), [Ruling(call=MAIL, outcome=SENT)])
    known = await ledger.effects.recall(now, [MAIL.id, "m1:1"])
    assert [entry.outcome for entry in known.values()] == ([] if over == "unknown" else [None])


async def test_another_run_of_the_thread_knows(ledger: Ledger) -> None:
    """A run that goes on with an interrupted one reads its entries; those of another thread or tenant it does not."""
    run = await ledger.run()
    await ledger.effects.begin(fence(run), MAIL)
    await ledger.ended(run)
    second = await ledger.run(thread_id=run.thread_id)
    known = await ledger.effects.recall(second, [MAIL.id])
    assert known == {MAIL.id: Entry(key=f"{run.id}:m1:0", runs=frozenset({run.id}))}
    assert await ledger.effects.recall(await ledger.run(), [MAIL.id]) == {}
    foreign = replace(second, tenant_id=MALLORY.tenant_id)
    assert await ledger.effects.recall(foreign, [MAIL.id]) == {}


async def test_rulings_are_recorded_together(ledger: Ledger) -> None:
    """A person's word is kept under the run that brought it: with an outcome as done, without as begun, under the first key."""
    run, other = await ledger.run(), EffectCall(id="m1:1", tool="send_mail")
    await ledger.effects.begin(fence(run), MAIL)
    await ledger.effects.begin(fence(run), other)
    await ledger.ended(run)
    second = await ledger.run(thread_id=run.thread_id)
    await ledger.effects.rule(fence(second), [Ruling(call=MAIL, outcome=SENT), Ruling(call=other)])
    both = frozenset({run.id, second.id})
    assert await ledger.effects.recall(second, [MAIL.id, other.id]) == {
        MAIL.id: Entry(key=f"{run.id}:m1:0", runs=both, outcome=SENT),
        other.id: Entry(key=f"{run.id}:m1:1", runs=both),
    }
    await ledger.effects.done(fence(second), other.id, SENT)
    assert (await ledger.effects.recall(second, [other.id]))[other.id].outcome == SENT


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "\ud83d\ude00", "only \\u0000 shown"])
async def test_what_cannot_be_stored_is_replaced(ledger: Ledger, text: str) -> None:
    """NUL and lone surrogates, in a result, a tool's name or an id, become U+FFFD and fail nothing."""
    kept = text.replace("\x00", "\ufffd")
    kept = kept if "\ud83d" in kept else kept.replace("\ud800", "\ufffd")
    kept = kept.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    run, call = await ledger.run(), EffectCall(id=f"{text}:0", tool=text)
    assert await ledger.effects.begin(fence(run), call) == Begun(key=f"{run.id}:{kept}:0")
    await ledger.effects.done(fence(run), call.id, EffectOutcome(outcome="ok", text=text, own=True))
    entry = (await ledger.effects.recall(run, [call.id]))[call.id]
    assert entry.outcome == EffectOutcome(outcome="ok", text=kept, own=True)


@pytest.mark.postgres
async def test_a_take_over_waits_for_an_intent(database: Database) -> None:
    """A run cannot be taken over while an intent of its is being written, so its next owner reads it."""
    ledger = in_postgres(database)
    run = await ledger.run()
    async with database.raw() as connection, connection.transaction():
        held = "SELECT FROM runs WHERE id = $1 FOR UPDATE"
        await connection.execute(held, run.id)
        await connection.execute("UPDATE runs SET attempt = 2 WHERE id = $1", run.id)
        begun = asyncio.create_task(ledger.effects.begin(fence(run), MAIL))
        async with database.raw() as other:
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            while not await other.fetchval(waiting):
                pass
    with pytest.raises(RunSuperseded):
        await begun
    assert await ledger.effects.recall(replace(run, attempt=2), [MAIL.id]) == {}
