"""The store that a node is handed: the memories of the user whose run it is."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore, TTLConfig

from graphs.memories import RunMemories
from graphs.state import State
from services.runs.types import RunContext
from services.storage.memories_in_memory import InMemoryMemories
from tests.graphs.fakes import says, turn

NOTES = ("notes",)


def context_of(user_id: str) -> RunContext:
    context = turn().context
    return replace(context, run=replace(context.run, user_id=user_id))


def compiled(node: Any, memories: InMemoryMemories) -> Any:
    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph.compile(store=RunMemories(memories))


async def test_each_run_reaches_its_own_users_memories() -> None:
    """One compiled graph, two runs at once: each reads and writes for its user, also in a task and in a graph within."""
    memories, seen = InMemoryMemories(), {}

    async def inner(state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        assert runtime.store is not None
        await runtime.store.aput(NOTES, "inner", {"text": runtime.context.run.user_id})
        return {"messages": [says("inner")]}

    within = StateGraph(State, context_schema=RunContext)
    within.add_node("inner", inner)
    within.add_edge(START, "inner")
    specialist = within.compile(checkpointer=False)

    async def node(state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        store = runtime.store
        assert isinstance(store, BaseStore)
        user_id = runtime.context.run.user_id
        await store.aput(NOTES, "name", {"text": user_id})
        await asyncio.sleep(0)
        await specialist.ainvoke({"messages": []}, context=runtime.context)
        seen[user_id] = await asyncio.create_task(store.asearch(()))
        return {"messages": [says("done")]}

    graph = compiled(node, memories)
    await asyncio.gather(*(graph.ainvoke({"messages": []}, context=context_of(user)) for user in ("ada", "bob")))
    assert {user: {item.value["text"] for item in items} for user, items in seen.items()} == {
        "ada": {"ada"},
        "bob": {"bob"},
    }
    assert {user: len(items) for user, items in seen.items()} == {"ada": 2, "bob": 2}
    assert await memories.of("t", "ada").aget(NOTES, "name") is not None


async def test_settings_of_time_are_those_of_the_store() -> None:
    """LangGraph asks this store how long memories are kept, and is told what the users' stores say."""
    memories = InMemoryMemories(ttl=TTLConfig(default_ttl=5))

    async def node(state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        assert runtime.store is not None
        await runtime.store.aput(NOTES, "tea", {"text": "green"})
        return {"messages": [says("done")]}

    await compiled(node, memories).ainvoke({"messages": []}, context=context_of("ada"))
    item = memories.rows("t", "ada")
    [memory] = await item.page((), limit=9, after=None)
    assert memory.expires_at is not None


async def test_outside_of_a_run_there_is_nobody() -> None:
    """Without a run there is no user to guess, and there are no sync methods."""
    store = RunMemories(InMemoryMemories())
    with pytest.raises((KeyError, RuntimeError)):
        await store.aget(NOTES, "tea")
    with pytest.raises(NotImplementedError):
        store.get(NOTES, "tea")
