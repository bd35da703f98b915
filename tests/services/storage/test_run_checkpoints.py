"""What the store of runs' checkpoints promises, in memory and in Postgres alike."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from services.errors import RunSuperseded
from services.runs.checkpoints import ChannelValue, CheckpointStore, Kept, KeptCheckpoint, KeptWrite
from services.runs.logged_run import LogRow
from services.storage.checkpointer import ThreadReader
from services.storage.checkpointer_memory import MemoryCheckpoints
from services.storage.database import Database
from services.storage.encoding import progress_from
from services.storage.run_checkpoints import RunCheckpointRepository
from services.types import EventId, Fence, Progress, Run, RunStatus, Usage
from tests.services.storage import conftest
from tests.services.storage.conftest import MALLORY, a_run

PROGRESS = Progress(event_id=EventId(attempt=1, seq=4), usage=Usage(input_tokens=7, model_calls=1), said="Two")
INNER = "research:2b5c"


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """The store, what reads it, and `put`, which makes a run what it is there."""

    store: CheckpointStore
    saver: BaseCheckpointSaver[str]
    put: Callable[[Run], Awaitable[None]]
    progress: Callable[[UUID], Awaitable[Progress | None]]
    logged: Callable[[UUID], Awaitable[list[tuple[int, int, bytes]]]]
    """The rows of a run's log: first number, last number, body."""

    async def run(self, *, after: Run | None = None, of: Run | None = None) -> Run:
        """A run at its first attempt, in a thread of its own or in that of an earlier run, which has ended."""
        if after is not None:
            await self.put(replace(after, status=RunStatus.COMPLETED, finished_at=datetime.now(UTC)))
        begun = of or a_run(thread_id=None if after is None else after.thread_id)
        run = replace(begun, status=RunStatus.RUNNING, attempt=1)
        await self.put(run)
        return run

    async def save(
        self,
        run: Run,
        *checkpoints: KeptCheckpoint,
        writes: Sequence[KeptWrite] = (),
        progress: Progress = PROGRESS,
        said: Sequence[str] = (),
    ) -> None:
        fence = Fence(run_id=run.id, attempt=run.attempt)
        of_run = [replace(one, metadata={**one.metadata, "run_id": str(run.id)}) for one in checkpoints]
        rows = [LogRow(fence=fence, first_seq=seq, seq=seq, body=text.encode()) for seq, text in enumerate(said)]
        await self.store.save(fence, Kept(checkpoints=of_run, writes=writes, progress=progress, rows=rows))

    async def newest(self, run: Run, namespace: str = "") -> CheckpointTuple | None:
        return await self.saver.aget_tuple(config(run, namespace))

    async def ids(self, run: Run, namespace: str = "") -> list[str]:
        """The ids of all that is kept, newest first."""
        return [found.checkpoint["id"] async for found in self.saver.alist(config(run, namespace))]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def checkpoints(request: pytest.FixtureRequest) -> Checkpoints:
    """The store, once in memory and once in Postgres."""
    return in_memory() if request.param == "memory" else in_postgres(request.getfixturevalue("database"))


class MemoryLog:
    """A log that takes everything, once."""

    def __init__(self) -> None:
        self.rows: set[LogRow] = set()

    async def append(self, rows: Sequence[LogRow]) -> Sequence[UUID]:
        self.rows.update(rows)
        return ()


def in_memory() -> Checkpoints:
    runs: dict[UUID, Run] = {}
    log = MemoryLog()
    memory = MemoryCheckpoints(runs.get, log)

    async def put(run: Run) -> None:
        runs[run.id] = run

    async def progress(run_id: UUID) -> Progress | None:
        return memory.progress.get(run_id)

    async def logged(run_id: UUID) -> list[tuple[int, int, bytes]]:
        return sorted((row.first_seq, row.seq, row.body) for row in log.rows if row.fence.run_id == run_id)

    return Checkpoints(store=memory, saver=memory, put=put, progress=progress, logged=logged)


def in_postgres(database: Database) -> Checkpoints:
    async def put(run: Run) -> None:
        async with database.raw() as connection:
            await connection.execute(
                "INSERT INTO threads (id, tenant_id, user_id, ephemeral) VALUES ($1, $2, $3, false) ON CONFLICT DO NOTHING",
                run.thread_id,
                run.tenant_id,
                run.user_id,
            )
            await connection.execute(
                """
                INSERT INTO runs (id, thread_id, tenant_id, user_id, graph, status, ephemeral, on_disconnect, attempt, crashes,
                                  finished_at)
                VALUES ($1, $2, $3, $4, $5, $6, false, $7, $8, 2, $9)
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

    async def progress(run_id: UUID) -> Progress | None:
        async with database.raw() as connection:
            return progress_from(await connection.fetchval("SELECT progress FROM runs WHERE id = $1", run_id))

    async def logged(run_id: UUID) -> list[tuple[int, int, bytes]]:
        async with database.raw() as connection:
            rows = await connection.fetch(
                "SELECT first_seq, seq, body FROM run_events WHERE run_id = $1 AND tenant_id <> '' ORDER BY seq", run_id
            )
        return [tuple(row) for row in rows]

    return Checkpoints(
        store=RunCheckpointRepository(database), saver=ThreadReader(database), put=put, progress=progress, logged=logged
    )


def config(run: Run, namespace: str = "", checkpoint_id: str | None = None) -> RunnableConfig:
    named = {"thread_id": str(run.thread_id), "tenant_id": run.tenant_id, "checkpoint_ns": namespace}
    return {"configurable": named | ({} if checkpoint_id is None else {"checkpoint_id": checkpoint_id})}


def typed(value: Any) -> tuple[str, bytes]:
    return JsonPlusSerializer().dumps_typed(value)


def at(
    step: int,
    values: Mapping[str, Any],
    *,
    name: str | None = None,
    versions: Mapping[str, str] | None = None,
    namespace: str = "",
    parent: str = "",
    **other: Any,
) -> KeptCheckpoint:
    """A checkpoint of a step with new values, each at a version of that step; `versions` are of values stored before."""
    checkpoint_id = name or f"{step:04}"
    new = dict.fromkeys(values, f"{namespace}{step}")
    kind, body = typed({"v": 4, "id": checkpoint_id, "ts": "", "versions_seen": {}})
    metadata: dict[str, Any] = {"source": "loop", "step": step, "parents": {"": parent} if parent else {}}
    return KeptCheckpoint(
        namespace=namespace,
        id=checkpoint_id,
        parent_id=f"{step - 1:04}",
        versions={**(versions or {}), **new},
        type=kind,
        body=body,
        metadata=metadata,
        values=tuple(
            ChannelValue(channel=channel, version=new[channel], type=typed(value)[0], body=typed(value)[1])
            for channel, value in values.items()
        ),
        **other,
    )


def write(checkpoint_id: str, value: Any, *, index: int = 0, namespace: str = "", path: str = "") -> KeptWrite:
    kind, body = typed(value)
    return KeptWrite(
        namespace=namespace,
        checkpoint_id=checkpoint_id,
        task_id="task",
        task_path=path,
        index=index,
        channel="__interrupt__" if index < 0 else "said",
        type=kind,
        body=body,
    )


async def test_what_is_saved_is_read(checkpoints: Checkpoints) -> None:
    """A checkpoint comes back with its values, what was written after it, its metadata and its parent."""
    run = await checkpoints.run()
    await checkpoints.save(run, at(1, {"said": ["one"], "plan": None}), writes=[write("0001", "more")])
    found = await checkpoints.newest(run)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"said": ["one"], "plan": None}
    assert found.checkpoint["id"] == found.config["configurable"]["checkpoint_id"] == "0001"
    assert found.pending_writes == [("task", "said", "more")]
    assert found.metadata == {"source": "loop", "step": 1, "parents": {}, "run_id": str(run.id)}
    assert found.parent_config == config(run, checkpoint_id="0000")


async def test_progress_is_stored_with_it(checkpoints: Checkpoints) -> None:
    """How far the run had come stands beside its checkpoint; of what it said only what can be stored."""
    run = await checkpoints.run()
    assert await checkpoints.progress(run.id) is None
    await checkpoints.save(run, at(1, {"said": "x"}), progress=replace(PROGRESS, said="Two\x00"))
    stored = await checkpoints.progress(run.id)
    assert stored is not None
    assert replace(stored, said="") == replace(PROGRESS, said="")
    assert stored.said.startswith("Two")


async def test_a_value_is_stored_once(checkpoints: Checkpoints) -> None:
    """A value that a step does not change is read from where it was stored."""
    run = await checkpoints.run()
    await checkpoints.save(run, at(1, {"said": "one", "plan": "a plan"}))
    await checkpoints.save(run, at(2, {"said": "two"}, versions={"plan": "1"}))
    found = await checkpoints.newest(run)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"said": "two", "plan": "a plan"}


async def test_of_a_run_the_newest_is_kept_and_of_the_one_before_it_the_last(checkpoints: Checkpoints) -> None:
    """A thread does not grow with its steps, and can be put back to where a run found it."""
    first = await checkpoints.run()
    for step in (1, 2, 3):
        await checkpoints.save(first, at(step, {"said": step}), writes=[write(f"{step:04}", "more")])
    second = await checkpoints.run(after=first)
    for step in (4, 5):
        await checkpoints.save(second, at(step, {"said": step}))
    assert await checkpoints.ids(second) == ["0005", "0003"]
    third = await checkpoints.run(after=second)
    await checkpoints.save(third, at(6, {"said": 6}))
    assert await checkpoints.ids(third) == ["0006", "0005"]


async def test_a_run_can_be_undone(checkpoints: Checkpoints) -> None:
    """Without the checkpoints of a run the thread is what it was before, values, open question and all."""
    first = await checkpoints.run()
    await checkpoints.save(first, at(3, {"said": "before", "plan": "p"}), writes=[write("0003", "why?", index=-3)])
    second = await checkpoints.run(after=first)
    await checkpoints.save(second, at(4, {"said": "after"}, versions={"plan": "3"}))
    await checkpoints.save(second, at(5, {"said": "long after", "plan": None}))
    await checkpoints.saver.adelete_for_runs([str(second.id)])
    found = await checkpoints.newest(second)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"said": "before", "plan": "p"}
    assert found.pending_writes == [("task", "__interrupt__", "why?")]


@pytest.mark.parametrize("ended", [False, True])
async def test_a_run_that_is_over_or_taken_over_writes_nothing(checkpoints: Checkpoints, ended: bool) -> None:
    """Whoever had the run before is refused, and neither checkpoint nor value nor progress changes."""
    run = await checkpoints.run()
    await checkpoints.save(run, at(1, {"said": "mine"}))
    later = replace(run, attempt=2)
    await checkpoints.put(replace(run, status=RunStatus.FAILED, finished_at=datetime.now(UTC)) if ended else later)
    with pytest.raises(RunSuperseded):
        await checkpoints.save(
            run,
            at(2, {"said": "too late"}),
            writes=[write("0001", "late")],
            progress=replace(PROGRESS, said="too late"),
            said=["too late"],
        )
    found = await checkpoints.newest(run)
    assert found is not None
    assert (found.checkpoint["channel_values"], found.pending_writes) == ({"said": "mine"}, [])
    assert await checkpoints.progress(run.id) == PROGRESS
    assert await checkpoints.logged(run.id) == []


@pytest.mark.parametrize("inner", [False, True])
async def test_the_log_is_stored_with_it(checkpoints: Checkpoints, inner: bool) -> None:
    """By the usual statement and by the other; a row that is there already stays as it is."""
    run = await checkpoints.run()
    more = [at(1, {"found": "a"}, namespace=INNER, parent="0001")] if inner else []
    await checkpoints.save(run, at(1, {"said": "x"}), *more, said=["Tw"])
    await checkpoints.save(run, at(2, {"said": "y"}), said=["Tw", "o"])
    assert await checkpoints.logged(run.id) == [(0, 0, b"Tw"), (1, 1, b"o")]


async def test_an_unknown_run_writes_nothing(checkpoints: Checkpoints) -> None:
    """A run that was erased is refused as one that was taken over."""
    run = replace(a_run(), attempt=1)
    with pytest.raises(RunSuperseded):
        await checkpoints.save(run, at(1, {"said": "x"}))
    assert await checkpoints.newest(run) is None


async def test_the_next_attempt_goes_on(checkpoints: Checkpoints) -> None:
    """Whoever has taken a run over replaces what the attempt before it had stored."""
    run = await checkpoints.run()
    await checkpoints.save(run, at(1, {"said": "first attempt"}))
    later = replace(run, attempt=2)
    await checkpoints.put(later)
    await checkpoints.save(later, at(2, {"said": "second attempt"}))
    assert await checkpoints.ids(run) == ["0002"]


async def test_saving_again_is_harmless(checkpoints: Checkpoints) -> None:
    """A statement of which nobody knows whether it was executed can be repeated, also with a later checkpoint."""
    run = await checkpoints.run()
    one, question = at(1, {"said": "one"}), write("0001", "why?", index=-3)
    for _ in range(2):
        await checkpoints.save(run, one, writes=[question])
    found = await checkpoints.newest(run)
    assert found is not None
    assert (found.checkpoint["channel_values"], len(found.pending_writes or ())) == ({"said": "one"}, 1)
    assert await checkpoints.ids(run) == ["0001"]


async def test_the_furthest_checkpoint_is_the_newest_whatever_the_clocks_say(checkpoints: Checkpoints) -> None:
    """A turn on a node whose clock is behind makes a lower checkpoint id, and is still what the next turn continues."""
    first = await checkpoints.run()
    await checkpoints.save(first, at(3, {"said": "earlier turn"}, name="2030"))
    second = await checkpoints.run(after=first)
    await checkpoints.save(second, at(4, {"said": "later turn"}, name="2020"))
    found = await checkpoints.newest(second)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"said": "later turn"}
    third = await checkpoints.run(after=second)
    await checkpoints.save(third, at(5, {"said": "last turn"}, name="2010"))
    assert set(await checkpoints.ids(third)) == {"2020", "2010"}


async def test_a_question_is_replaced_and_a_result_is_not(checkpoints: Checkpoints) -> None:
    """The last question of a task is the open one; what a task has written stays as it came first."""
    run = await checkpoints.run()
    await checkpoints.save(run, at(1, {"said": "x"}), writes=[write("0001", "why?", index=-3), write("0001", "first")])
    await checkpoints.save(run, writes=[write("0001", "how?", index=-3), write("0001", "second")])
    found = await checkpoints.newest(run)
    assert found is not None
    assert found.pending_writes == [("task", "__interrupt__", "how?"), ("task", "said", "first")]


async def test_a_graph_within_a_node_counts_as_long_as_its_step_is_kept(checkpoints: Checkpoints) -> None:
    """What a graph within a node has stored goes with the step of the outer graph that it belongs to."""
    first = await checkpoints.run()
    await checkpoints.save(first, at(1, {"said": 1}), at(1, {"found": "a"}, namespace=INNER, parent="0001"))
    found = await checkpoints.newest(first, INNER)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"found": "a"}
    await checkpoints.save(first, at(2, {"found": "b"}, namespace=INNER, parent="0001"))
    assert await checkpoints.ids(first, INNER) == ["0002"]
    second = await checkpoints.run(after=first)
    await checkpoints.save(second, at(2, {"said": 2}))
    assert await checkpoints.ids(first, INNER) == ["0002"]
    await checkpoints.save(second, at(3, {"said": 3}))
    assert await checkpoints.ids(first, INNER) == ["0002"]
    third = await checkpoints.run(after=second)
    await checkpoints.save(third, at(4, {"said": 4}))
    assert await checkpoints.ids(first, INNER) == []
    assert await checkpoints.ids(first) == ["0004", "0003"]


async def test_a_graph_within_a_node_is_undone_with_its_run(checkpoints: Checkpoints) -> None:
    """Two runs of a thread went through one node of one step; without the later one the node is where the earlier left it."""
    first = await checkpoints.run()
    await checkpoints.save(first, at(1, {"said": 1}), at(1, {"found": "a"}, namespace=INNER, parent="0001"))
    second = await checkpoints.run(after=first)
    await checkpoints.save(second, at(2, {"found": "b"}, namespace=INNER, parent="0001"))
    found = await checkpoints.newest(second, INNER)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"found": "b"}
    await checkpoints.saver.adelete_for_runs([str(second.id)])
    found = await checkpoints.newest(second, INNER)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"found": "a"}


async def test_chained_checkpoints_are_all_kept(checkpoints: Checkpoints) -> None:
    """A delta channel is rebuilt from its ancestors, so they stay until a checkpoint holds it whole."""
    run, counters = await checkpoints.run(), {"counters_since_delta_snapshot": {"said": [1, 1]}}
    for step in (1, 2, 3):
        one = at(step, {"said": step}, chained=True)
        await checkpoints.save(
            run, replace(one, metadata={**one.metadata, **counters}), writes=[write(one.id, "delta")]
        )
    assert await checkpoints.ids(run) == ["0003", "0002", "0001"]
    oldest = await checkpoints.saver.aget_tuple(config(run, checkpoint_id="0001"))
    assert oldest is not None
    assert (oldest.checkpoint["channel_values"], oldest.pending_writes) == ({"said": 1}, [("task", "said", "delta")])
    await checkpoints.save(run, at(4, {"said": "whole"}))
    assert await checkpoints.ids(run) == ["0004"]


async def test_other_threads_are_left_alone(checkpoints: Checkpoints) -> None:
    """Nothing that a run stores touches another thread, and another tenant finds none of it."""
    mine, other = await checkpoints.run(), await checkpoints.run()
    await checkpoints.save(other, at(1, {"said": "other"}), at(1, {"found": 1}, namespace=INNER, parent="0001"))
    for step in (1, 2):
        await checkpoints.save(mine, at(step, {"said": "mine"}))
    found = await checkpoints.newest(other)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"said": "other"}
    assert await checkpoints.ids(other, INNER) == ["0001"]
    assert await checkpoints.newest(replace(mine, tenant_id=MALLORY.tenant_id)) is None


def last_of(run: Run, last: KeptCheckpoint) -> KeptCheckpoint:
    return replace(last, metadata={**last.metadata, "run_id": str(run.id)})


@pytest.mark.postgres
async def test_the_last_checkpoint_is_stored_with_the_end(database: Database) -> None:
    """What is kept of the thread, and what is let go, is what it would have been before the end."""
    checkpoints, stores = in_postgres(database), conftest.in_postgres(database)
    thread_id, found = None, []
    for turn in (0, 2):
        claim = await stores.claimed(a_run(thread_id=thread_id))
        run, thread_id = claim.run, claim.run.thread_id
        await checkpoints.save(run, at(turn + 1, {"said": turn, "old": turn}))
        last = at(turn + 2, {"said": "whole"}, versions={"old": str(turn + 1)})
        await stores.owned.finish(claim, conftest.ANSWERED, [], last_of(run, last))
        newest = await checkpoints.newest(run)
        assert newest is not None
        found.append((await checkpoints.ids(run), newest.checkpoint["channel_values"]))
    assert found == [(["0002"], {"said": "whole", "old": 0}), (["0004", "0002"], {"said": "whole", "old": 2})]
    async with database.raw() as connection:
        assert await connection.fetchval("SELECT count(*) FROM checkpoint_blobs") == 4


@pytest.mark.postgres
async def test_nothing_is_stored_with_an_end_that_is_not_the_runs(database: Database) -> None:
    """Of a run that somebody else has ended, or has taken over."""
    checkpoints, stores = in_postgres(database), conftest.in_postgres(database)
    closed, lost = await stores.claimed(a_run()), await stores.claimed(a_run())
    await stores.runs.finish(closed.run, replace(conftest.ANSWERED, status=RunStatus.FAILED, messages=()))
    late = last_of(closed.run, at(1, {"said": "late"}))
    assert await stores.owned.finish(closed, conftest.ANSWERED, [], late) is RunStatus.FAILED
    [_] = await stores.taken_over()
    with pytest.raises(RunSuperseded):
        await stores.owned.finish(lost, conftest.ANSWERED, [], last_of(lost.run, at(1, {"said": "late"})))
    assert [await checkpoints.ids(claim.run) for claim in (closed, lost)] == [[], []]


@pytest.mark.postgres
async def test_a_claim_says_that_its_thread_has_none(database: Database) -> None:
    """The first run of a thread need not look for checkpoints; the next one must."""
    checkpoints, stores = in_postgres(database), conftest.in_postgres(database)
    first = await stores.claimed(a_run())
    await checkpoints.save(first.run, at(1, {"said": "Hello."}))
    await stores.owned.finish(first, conftest.ANSWERED, [])
    second = await stores.claimed(a_run(thread_id=first.run.thread_id))
    assert (first.blank_thread, second.blank_thread) == (True, False)


@pytest.mark.postgres
async def test_a_run_that_has_progressed_is_in_no_blank_thread(database: Database) -> None:
    """Its checkpoint may have been stored while the claim was made: the claim sees that in the run, not in the table."""
    stores = conftest.in_postgres(database)
    first = await stores.claimed(a_run())
    await stores.progressed(first.run, PROGRESS)
    [second] = await stores.taken_over()
    assert (second.progress, second.blank_thread) == (PROGRESS, False)


@pytest.mark.postgres
async def test_a_take_over_at_the_same_moment_is_seen(database: Database) -> None:
    """A save that meets a take-over which is just being committed waits for it, and is refused."""
    checkpoints = in_postgres(database)
    run = await checkpoints.run()
    async with database.raw() as connection:
        async with connection.transaction():
            await connection.execute("UPDATE runs SET attempt = 2 WHERE id = $1", run.id)
            saving = asyncio.create_task(checkpoints.save(run, at(1, {"said": "late"})))
            async with database.raw() as watching:
                waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                while not saving.done() and not await watching.fetchval(waiting):
                    pass
        with pytest.raises(RunSuperseded):
            await saving
    assert await checkpoints.newest(run) is None


@pytest.mark.postgres
async def test_nothing_is_left_of_what_is_not_kept(database: Database) -> None:
    """However many steps and turns there were, a thread has two checkpoints, the values they need, and their writes."""
    checkpoints, run = in_postgres(database), None
    for turn in range(4):
        run = await checkpoints.run(after=run)
        for step in range(3 * turn, 3 * turn + 3):
            inner = at(step, {"found": step}, namespace=f"node:{step}", parent=f"{step:04}")
            await checkpoints.save(run, at(step, {"said": step}), inner, writes=[write(f"{step:04}", "more")])
    for table, rows in (("checkpoints", 4), ("checkpoint_blobs", 4), ("checkpoint_writes", 2)):
        async with database.raw() as connection:
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == rows, table


@pytest.mark.postgres
async def test_a_run_that_progresses_is_no_killer(database: Database) -> None:
    """The owners that a run has lost are counted anew once it has got any further."""
    checkpoints = in_postgres(database)
    run = await checkpoints.run()
    async with database.raw() as connection:
        assert await connection.fetchval("SELECT crashes FROM runs WHERE id = $1", run.id) == 2
        await checkpoints.save(run, at(1, {"said": "x"}))
        assert await connection.fetchval("SELECT crashes FROM runs WHERE id = $1", run.id) == 0
