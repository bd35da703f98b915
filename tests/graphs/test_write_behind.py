"""The checkpoints of a run at work: when they are taken, what is stored of them, and what a store that fails does to a run."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.runtime import Runtime

from graphs.saver import RunSaver, config_of
from graphs.state import State
from graphs.write_behind import WriteBehind
from services.errors import ModelThrottled, RunSuperseded, StoreUnavailable
from services.events import HandedOver
from services.runs.checkpoints import KeptCheckpoint
from services.runs.logged_run import LogRow
from services.runs.types import RunContext
from services.storage.checkpointer_memory import MemoryCheckpoints
from services.types import Fence
from tests.graphs.durable import Node, Site, idle
from tests.graphs.fakes import STORED, Stuck, calls, make_graph, says, turn

AWAY = StoreUnavailable("The database cannot be reached.")
SUM = ("calculator", {"expression": "6 * 7"})


class Counted(State):
    count: int
    mark: str


def happened(context: RunContext, what: str) -> None:
    context.events.emit(HandedOver(from_agent="test", to_agent=what))


def step(name: str, during: Callable[[RunContext], Any] | None = None) -> Node:
    """A node that tells of its beginning at once, of its end after something else, and counts."""

    async def node(state: Counted, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        happened(runtime.context, name)
        if during is not None and asyncio.iscoroutine(working := during(runtime.context)):
            await working
        happened(runtime.context, f"{name} is done")
        return {"count": state.get("count", 0) + 1, "messages": [AIMessage(name, id=name)]}

    node.__name__ = name
    return node


async def flush(context: RunContext) -> None:
    await context.checkpoints.flush()


async def test_progress_is_that_of_the_checkpoint() -> None:
    """Each is stored with what had happened when its step ended, and nothing of the next step, which speaks at once."""
    site, turned = Site(), turn()
    await site.graph(step("one"), step("two"), step("three"), schema=Counted).invoke(turned.context)
    assert site.store.events == [2, 4, 6]


async def test_a_turn_of_one_step_is_stored_once() -> None:
    """Nothing is stored before the first node has done something: a turn with one model call costs one statement."""
    site, turned = Site(), turn(says("Hello."))
    await make_graph(checkpointing=site.checkpointing).invoke(turned.context)
    assert site.store.steps == [[1]]


async def test_a_turn_with_tools_is_stored_after_each_step() -> None:
    """The call, its result, and the answer: three statements at most, and each holds all that was said before."""
    site, turned = Site(), turn(calls(SUM), says("42"))
    await make_graph(checkpointing=site.checkpointing).invoke(turned.context)
    assert site.store.steps == [[1], [2], [3]]
    assert len((await site.values(turned))["messages"]) == 4


async def test_the_run_does_not_wait_for_the_store() -> None:
    """While one checkpoint is being stored the next steps are executed, and then only the newest is stored."""
    site, turned = Site(), turn()
    site.store.open.clear()
    graph = site.graph(step("one"), step("two"), step("three"), schema=Counted)
    running = asyncio.create_task(graph.invoke(turned.context))
    await idle()
    assert len(turned.events.events) == 6
    assert not running.done()
    site.store.open.set()
    await running
    assert site.store.steps == [[1], [3]]
    assert site.store.events == [2, 6]
    assert (await site.values(turned))["count"] == 3


async def test_what_is_skipped_is_stored_with_the_next() -> None:
    """A value that only a skipped checkpoint had new is in the store nevertheless."""
    site, turned = Site(), turn()

    async def mark(state: Counted, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        return {"mark": "made"}

    site.store.open.clear()
    running = asyncio.create_task(site.graph(step("one"), mark, step("last"), schema=Counted).invoke(turned.context))
    await idle()
    site.store.open.set()
    await running
    values = await site.values(turned)
    assert (site.store.steps, values["mark"], values["count"]) == ([[1], [3]], "made", 2)


async def test_flush_waits_until_the_newest_is_stored() -> None:
    """A node that must not act before its checkpoint is stored does not."""
    site, turned, acted = Site(), turn(), asyncio.Event()

    async def act(context: RunContext) -> None:
        await context.checkpoints.flush()
        acted.set()

    site.store.open.clear()
    running = asyncio.create_task(site.graph(step("one"), step("two", act), schema=Counted).invoke(turned.context))
    await site.store.begun.wait()
    await idle()
    assert not acted.is_set()
    site.store.open.set()
    await running
    assert acted.is_set()
    assert site.store.steps[0] == [1]


async def test_flush_stores_the_input_too() -> None:
    """In the first node there is nothing but the question, and that is stored when it is asked for."""
    site, turned = Site(), turn(user="How long?")
    seen: list[Any] = []

    async def look(context: RunContext) -> None:
        await context.checkpoints.flush()
        await context.checkpoints.flush()
        seen.extend((await site.values(turned))["messages"])

    await site.graph(step("one", look), schema=Counted).invoke(turned.context)
    assert [message.content for message in seen] == ["How long?"]
    assert (site.store.steps, site.store.events) == ([[0], [1]], [0, 2])


async def test_an_ephemeral_run_stores_from_its_first_flush_on() -> None:
    """Nobody comes back to an ephemeral thread, so it is stored only for the sake of what must not happen twice."""
    site, turned = Site(), turn(ephemeral=True)
    await site.graph(step("one"), step("two"), schema=Counted).invoke(turned.context)
    assert site.store.saved == []
    turned = turn(ephemeral=True)
    graph = site.graph(step("one"), step("two"), step("three", flush), step("four"), schema=Counted)
    await graph.invoke(turned.context)
    assert site.store.steps == [[2], [3], [4]]


class CountedReads(MemoryCheckpoints):
    """Checkpoints that count how often they are looked for."""

    looks = 0

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        self.looks += 1
        return await super().aget_tuple(config)


@pytest.mark.parametrize(("blank", "looks"), [(False, 1), (True, 0)])
async def test_a_blank_thread_is_not_looked_for(blank: bool, looks: int) -> None:
    memory = CountedReads(STORED.get)
    turned = turn(says("Hello."))
    context = replace(turned.context, claim=replace(turned.context.claim, blank_thread=blank))
    await Site(memory).graph(step("one"), step("two"), schema=Counted).invoke(context)
    assert memory.looks == looks


async def test_what_a_blank_thread_was_given_is_looked_for() -> None:
    """Once something is stored, what is held is not all there is."""
    memory = CountedReads(STORED.get)
    site, turned, found = Site(memory), turn(), []

    async def look(context: RunContext) -> None:
        await context.checkpoints.flush()
        assert isinstance(context.checkpoints, WriteBehind)
        found.append(await RunSaver(memory).aget_tuple(config_of(context, context.checkpoints, max_steps=9)))

    context = replace(turned.context, claim=replace(turned.context.claim, blank_thread=True))
    await site.graph(step("one"), step("two", look), schema=Counted).invoke(context)
    assert memory.looks == 1
    assert found[0] is not None


async def test_a_store_that_is_away_does_not_stop_a_run() -> None:
    """What it did not take goes with the next checkpoint, and nobody waits."""
    site, turned = Site(), turn()
    site.store.errors = [AWAY]
    await site.graph(step("one"), step("two"), schema=Counted).invoke(turned.context)
    assert (site.store.steps, site.waited) == ([[2]], [])
    assert (await site.values(turned))["count"] == 2


async def test_at_its_end_a_run_waits_for_the_store_a_little() -> None:
    """An answer is not finished before its thread remembers it, so a store that comes back in time is waited for."""
    site, turned = Site(), turn()
    site.store.errors = [AWAY] * 3
    await site.graph(step("one"), schema=Counted).invoke(turned.context)
    assert (site.store.steps, site.waited) == ([[1]], [0.5, 0.5])


@pytest.mark.parametrize("where", ["flush", "end"])
async def test_without_its_store_a_run_fails(where: str) -> None:
    """Where a checkpoint has to be stored and cannot be, the run fails with the store's error, and nothing is left behind."""
    site, turned = Site(), turn()
    site.store.errors = [AWAY] * 20
    before = asyncio.all_tasks()
    with pytest.raises(StoreUnavailable):
        await site.graph(step("one", flush if where == "flush" else None), schema=Counted).invoke(turned.context)
    assert site.waited == [0.5, 0.5]
    assert asyncio.all_tasks() == before


async def test_the_last_of_a_whole_turn_goes_with_its_end() -> None:
    """What nobody has stored yet is for whoever records the end, who then waits for a store that is away."""
    site, turned, kept = Site(), turn(), list[KeptCheckpoint]()
    site.store.errors = [AWAY]
    graph = site.graph(step("one"), step("two"), step("three"), schema=Counted)
    await graph.invoke(replace(turned.context, to_the_end=kept.append))
    assert (site.store.steps, site.waited) == ([[2]], [])
    assert [last.metadata["step"] for last in kept] == [3]


async def test_what_is_being_stored_is_waited_for() -> None:
    """Two statements of a run are never under way at once."""
    site, turned, kept = Site(), turn(), list[KeptCheckpoint]()
    site.store.open.clear()
    graph = site.graph(step("one"), step("two"), schema=Counted)
    running = asyncio.create_task(graph.invoke(replace(turned.context, to_the_end=kept.append)))
    await idle()
    assert (running.done(), kept) == (False, [])
    site.store.open.set()
    await running
    assert (site.store.steps, len(kept)) == ([[1]], 1)


async def test_a_run_that_is_stopped_at_its_very_end_keeps_its_last() -> None:
    """What is being stored is waited for, and what came behind it is still for the record of the end."""
    site, turned, kept = Site(), turn(), list[KeptCheckpoint]()
    site.store.open.clear()
    graph = site.graph(step("one"), step("two"), schema=Counted)
    running = asyncio.create_task(graph.invoke(replace(turned.context, to_the_end=kept.append)))
    await site.store.begun.wait()
    await idle()
    running.cancel()
    await idle()
    assert not running.done()
    site.store.open.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (site.store.steps, [last.metadata["step"] for last in kept]) == ([[1]], [2])


class Growing(State):
    facts: Annotated[list[str], DeltaChannel(lambda left, writes: [*left, *(item for w in writes for item in w)])]


async def test_what_takes_more_than_one_checkpoint_is_stored_before_the_end() -> None:
    """With the log that it speaks of: whoever takes the run over between the two finds both."""
    site, turned, kept = Site(), turn(), list[KeptCheckpoint]()
    log = Log(turned.context.claim.fence)

    async def learn(state: Growing, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        return {"facts": ["one"], "messages": [AIMessage("one")]}

    await site.graph(learn, schema=Growing).invoke(replace(turned.context, to_the_end=kept.append, log=log))
    assert (kept, log.confirmed) == ([], [0])
    assert [row.seq for row in site.store.saved[-1].rows] == [0]


async def test_a_turn_that_fails_keeps_nothing_to_its_end() -> None:
    """How far it came is stored at once: its end may be another's to write."""
    site, turned, kept = Site(), turn(), list[KeptCheckpoint]()

    async def fail(context: RunContext) -> None:
        raise ModelThrottled("Too many requests.")

    with pytest.raises(ModelThrottled):
        await site.graph(step("one"), step("two", fail), schema=Counted).invoke(
            replace(turned.context, to_the_end=kept.append)
        )
    assert (site.store.steps, kept) == ([[1]], [])


@pytest.mark.parametrize("error", [RunSuperseded("Taken over."), TypeError("not to be stored")])
async def test_what_cannot_be_stored_ends_the_run_at_its_next_step(error: Exception) -> None:
    """A run that was taken over, or whose state cannot be stored, does not go on for long, and says why."""
    site, turned = Site(), turn()
    site.store.errors = [error]
    with pytest.raises(type(error)):
        await site.graph(step("one"), step("two"), step("three"), schema=Counted).invoke(turned.context)
    assert len(turned.events.events) == 4
    assert site.store.saved == []


@pytest.mark.parametrize("error", [RunSuperseded("Taken over."), TypeError("not to be stored")])
async def test_what_cannot_be_stored_fails_a_run_that_ends(error: Exception) -> None:
    """At the end of a run nothing is forgotten that went wrong behind its back."""
    site, turned = Site(), turn()
    site.store.errors = [error]
    with pytest.raises(type(error)):
        await site.graph(step("one"), schema=Counted).invoke(turned.context)
    assert site.waited == []


async def test_a_state_that_cannot_be_serialised_is_an_error() -> None:
    """The error comes out of the run, not out of a task that nobody waits for."""
    site, turned = Site(), turn()

    async def odd(state: Counted, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        return {"count": asyncio.Event(), "messages": [AIMessage("done")]}

    with pytest.raises(TypeError):
        await site.graph(odd, schema=Counted).invoke(turned.context)


async def test_a_run_that_fails_stores_how_far_it_came() -> None:
    """The question stays in the thread, and every step that was over."""
    site, turned = Site(), turn(user="How long?")

    async def fail(context: RunContext) -> None:
        raise ModelThrottled("Too many requests.")

    with pytest.raises(ModelThrottled):
        await site.graph(step("one", fail), schema=Counted).invoke(turned.context)
    assert [message.content for message in (await site.values(turned))["messages"]] == ["How long?"]
    with pytest.raises(ModelThrottled):
        await site.graph(step("one"), step("two", fail), schema=Counted).invoke(turned.context)
    assert (await site.values(turned))["count"] == 1


async def test_a_run_that_fails_keeps_its_own_reason() -> None:
    """A store that is away as well is tried once, and is not what the run failed of."""
    site, turned = Site(), turn()
    site.store.errors = [AWAY] * 20

    async def fail(context: RunContext) -> None:
        raise ModelThrottled("Too many requests.")

    with pytest.raises(ModelThrottled):
        await site.graph(step("one", fail), schema=Counted).invoke(turned.context)
    assert site.waited == []


async def test_a_run_that_is_stopped_stores_how_far_it_came() -> None:
    """Whoever goes on with it, or with its thread, finds every step that was over."""
    site, turned, stuck = Site(), turn(), Stuck()
    graph = site.graph(step("one"), step("two", lambda _: stuck.wait()), schema=Counted)
    running = asyncio.create_task(graph.invoke(turned.context))
    await stuck.reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await site.values(turned))["count"] == 1
    assert site.progress(turned.context.run) is not None


async def test_stopped_while_it_is_stored() -> None:
    """A run that is stopped at its very end does not leave a statement running."""
    site, turned = Site(), turn()
    site.store.open.clear()
    running = asyncio.create_task(site.graph(step("one"), schema=Counted).invoke(turned.context))
    await site.store.begun.wait()
    await idle()
    running.cancel()
    await idle()
    assert not running.done()
    site.store.open.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert site.store.steps == [[1]]


@dataclass
class Log:
    """The log of a run that says something before every checkpoint."""

    fence: Fence
    rows: list[LogRow] = field(default_factory=list)
    confirmed: list[int] = field(default_factory=list)
    said: int = 0

    def unstored(self) -> Sequence[LogRow]:
        self.rows.append(LogRow(fence=self.fence, first_seq=self.said, seq=self.said, body=b"x"))
        self.said += 1
        return tuple(self.rows)

    def confirm(self, rows: Sequence[LogRow]) -> None:
        self.confirmed += [row.seq for row in rows]
        self.rows = [row for row in self.rows if row.seq not in self.confirmed]


async def test_the_log_goes_with_the_checkpoint() -> None:
    """A checkpoint says that its events have happened, so the statement that stores it stores them; once, if it succeeds."""
    site, turned = Site(), turn()
    log = Log(turned.context.claim.fence)
    site.store.errors.append(StoreUnavailable("down", retry_after_s=1.0))
    graph = site.graph(step("one"), step("two"), schema=Counted)
    await graph.invoke(replace(turned.context, log=log))
    assert [[row.seq for row in kept.rows] for kept in site.store.saved] == [[0, 1]]
    assert log.confirmed == [0, 1]
