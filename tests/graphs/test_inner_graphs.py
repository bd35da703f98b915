"""Graphs within nodes, and channels that are kept as differences: what LangGraph can do with a saver, it can with ours."""

import asyncio
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send, interrupt

from graphs.state import State
from services.events import HandedOver
from services.runs.types import GraphResult, RunContext
from tests.graphs.durable import Node, Site, idle
from tests.graphs.fakes import Stuck, Turn, turn


class Seen(State):
    seen: Annotated[list[str], operator.add]


def seeing(name: str, during: Callable[[RunContext], Any] | None = None) -> Node:
    """A node that tells of itself in an event and in the state, and does something between."""

    async def node(state: Seen, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        runtime.context.events.emit(HandedOver(from_agent="test", to_agent=name))
        found = during(runtime.context) if during is not None else None
        found = await found if asyncio.iscoroutine(found) else found
        return {"seen": [name if found is None else f"{name}: {found}"], "messages": [AIMessage(name)]}

    node.__name__ = name
    return node


def chain(schema: Any, *nodes: tuple[str, Any]) -> StateGraph[Any, Any, Any, Any]:
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(schema, context_schema=RunContext)
    last = START
    for name, node in nodes:
        graph.add_node(name, node)
        graph.add_edge(last, name)
        last = name
    return graph


def with_inner(*inner: Node, **options: Any) -> StateGraph[Any, Any, Any, Any]:
    """before → a graph of its own → after."""
    within = chain(Seen, *((node.__name__, node) for node in inner)).compile(**options)
    return chain(Seen, ("before", seeing("before")), ("inner", within), ("after", seeing("after")))


async def flush(context: RunContext) -> None:
    await context.checkpoints.flush()


async def killed(site: Site, graph: StateGraph[Any, Any, Any, Any], stuck: Stuck, turned: Turn) -> None:
    """Let a turn run until it is stuck, and then let its store hear nothing more of it."""
    running = asyncio.create_task(site.runner(graph).invoke(turned.context))
    await stuck.reached.wait()
    await idle()
    site.store.errors = [AssertionError("a dead replica writes nothing")] * 9
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    site.store.errors = []


def names(turned: Turn) -> list[str]:
    return [event.to_agent for event in turned.events.of(HandedOver)]


def contents(result: GraphResult) -> list[str]:
    return [message.content for message in result.messages]


async def test_what_an_inner_graph_does_belongs_to_its_step() -> None:
    """Nothing is stored of a graph within a node before the node's step is over: cut off, it is executed anew as a whole."""
    site, turned, stuck = Site(), turn(), Stuck()
    await killed(site, with_inner(seeing("one"), seeing("two", lambda _: stuck.wait())), stuck, turned)
    assert site.store.steps == [[1]]
    assert [one.namespace for kept in site.store.saved for one in kept.checkpoints] == [""]
    later = site.taken_over(turned)
    result = await site.runner(with_inner(seeing("one"), seeing("two"))).invoke(later.context)
    assert names(later) == ["one", "two", "after"]
    assert contents(result) == ["before", "one", "two", "after"]


async def test_of_an_inner_graph_that_has_ended_nothing_is_stored() -> None:
    """Once the node's step is over, its graph's checkpoints are of no use: not even a later flush stores them."""
    site, turned = Site(), turn()
    within = chain(Seen, ("one", seeing("one")), ("two", seeing("two"))).compile()
    graph = chain(Seen, ("inner", within), ("after", seeing("after", flush)))
    await site.runner(graph).invoke(turned.context)
    assert {one.namespace for kept in site.store.saved for one in kept.checkpoints} == {""}
    assert (site.store.steps, site.store.events) == ([[1], [2]], [2, 3])


async def test_an_inner_graph_goes_on_where_it_was_flushed() -> None:
    """What must not happen twice is not begun before the inner graph's checkpoint is stored, and the run goes on there."""
    site, turned, stuck = Site(), turn(), Stuck()

    async def act(context: RunContext) -> None:
        await context.checkpoints.flush()
        await stuck.wait()

    await killed(site, with_inner(seeing("one"), seeing("two", act)), stuck, turned)
    progress = site.progress(turned.context.run)
    assert progress is not None
    assert progress.event_id.seq == 1
    later = site.taken_over(turned)
    result = await site.runner(with_inner(seeing("one"), seeing("two"))).invoke(later.context)
    assert names(later) == ["two", "after"]
    assert contents(result) == ["before", "one", "two", "after"]


async def test_an_inner_graph_asks() -> None:
    """A question from within is the turn's question, and what is decided goes on within, on another replica."""
    site, turned = Site(), turn()

    def ask(_: RunContext) -> Any:
        return interrupt("Shall I?")["type"]

    graph = with_inner(seeing("one"), seeing("two", ask), seeing("three"))
    result = await site.runner(graph).invoke(turned.context)
    assert [question.value for question in result.interrupts] == ["Shall I?"]
    assert contents(result) == ["before"]
    later = site.decided(turned, [{"type": "yes"}])
    result = await site.runner(graph).invoke(later.context)
    assert names(later) == ["two", "three", "after"]
    assert contents(result) == ["one", "two", "three", "after"]


async def test_an_inner_graph_with_a_memory_of_its_own() -> None:
    """One that is compiled with `checkpointer=True` remembers from turn to turn, whatever the outer one does."""
    site, thread_id = Site(), uuid4()
    graph = with_inner(seeing("one"), seeing("two"), checkpointer=True)
    await site.runner(graph).invoke(turn(thread_id=thread_id).context)
    await site.runner(graph).invoke(turn(thread_id=thread_id).context)
    inner = await site.memory.aget_tuple(
        {"configurable": {"thread_id": str(thread_id), "tenant_id": "t", "checkpoint_ns": "inner"}}
    )
    assert inner is not None
    # In the second turn: of its own first turn, of the first turn as the outer graph has it, and of this one.
    assert inner.checkpoint["channel_values"]["seen"].count("one") == 3


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_an_inner_graph_remembers_what_is_not_stored_yet(ephemeral: bool) -> None:
    """A node that is executed again in one run finds what its graph remembers, whether a store has it or never will."""
    site, turned = Site(), turn(ephemeral=ephemeral)
    site.store.open.clear()
    within = chain(Seen, ("one", seeing("one"))).compile(checkpointer=True)
    graph = chain(Seen, ("inner", within), ("look", seeing("look")))

    async def again(state: Seen) -> str:
        return "inner" if state["seen"].count("look") < 2 else "count"

    async def count(state: Seen, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        return {"messages": [AIMessage(f"one: {state['seen'].count('one')}")]}

    graph.add_node("count", count)
    graph.add_conditional_edges("look", again)
    running = asyncio.create_task(site.runner(graph).invoke(turned.context))
    await idle(1000)
    site.store.open.set()
    # Once, and then once more with the first from its own memory, and that again as the outer graph hands it in.
    assert contents(await running)[-1] == "one: 4"


async def test_two_questions_at_once() -> None:
    """Nodes that work side by side may each ask: one decision answers each, and what another has done stays done."""
    site, turned = Site(), turn()

    async def fan_out(state: Seen) -> Sequence[Send]:
        return [Send("ask", {"seen": [name]}) for name in ("a", "b", "c")]

    async def ask(state: Seen, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        [name] = state["seen"]
        runtime.context.events.emit(HandedOver(from_agent="test", to_agent=name))
        said = "nothing" if name == "b" else interrupt(f"{name}?")["message"]
        return {"seen": [f"{name}={said}"]}

    graph = chain(Seen, ("first", seeing("first")))
    graph.add_node("ask", ask)
    last: Any = seeing("last")  # LangGraph has a protocol of its own for each way to write one
    graph.add_node("last", last)
    graph.add_conditional_edges("first", fan_out)
    graph.add_edge("ask", "last")
    result = await site.runner(graph).invoke(turned.context)
    asked = [question.value for question in result.interrupts]
    assert sorted(asked) == ["a?", "c?"]
    assert [question.id for question in result.interrupts] == sorted(question.id for question in result.interrupts)
    later = site.decided(turned, [{"message": f"yes to {question}"} for question in asked])
    await site.runner(graph).invoke(later.context)
    assert sorted(names(later)) == ["a", "c", "last"]
    seen = (await site.values(later))["seen"]
    assert seen == ["first", "a=yes to a?", "b=nothing", "c=yes to c?", "last"]


class Growing(State):
    facts: Annotated[list[str], DeltaChannel(lambda left, writes: [*left, *(item for w in writes for item in w)])]


async def test_a_delta_channel_is_rebuilt() -> None:
    """Kept as differences, a channel is whole again on another replica, in the next turn, and after a take-over."""
    site, thread_id, stuck = Site(), uuid4(), Stuck()

    async def look(state: Growing, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        return {"facts": [f"fact {len(state['facts'])}"], "messages": [AIMessage(f"{len(state['facts'])}")]}

    async def wait(state: Growing, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        await stuck.wait()
        return {}

    twice = chain(Growing, ("one", look), ("two", look))
    await site.runner(twice).invoke(turn(thread_id=thread_id).context)
    turned = turn(thread_id=thread_id)
    await killed(site, chain(Growing, ("one", look), ("two", wait)), stuck, turned)
    later = site.taken_over(turned)
    assert contents(await site.runner(twice).invoke(later.context)) == ["2", "3"]
    assert contents(await site.runner(twice).invoke(turn(thread_id=thread_id).context)) == ["4", "5"]
