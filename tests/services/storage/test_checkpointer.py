"""The checkpointer: LangChain's own conformance suite, every durability, and what must never come back to life."""

import operator
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability
from langgraph.checkpoint.conformance.test_utils import generate_checkpoint, generate_config
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

from services.errors import InvalidRequest
from services.storage.checkpointer import AsyncpgSaver, ThreadReader
from services.storage.database import Database

pytestmark = pytest.mark.postgres

Durability = Literal["exit", "async", "sync"]


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    steps: Annotated[int, operator.add]


def chat(saver: AsyncpgSaver) -> Any:
    """A graph of two nodes; the second fails on the word "fail" and asks back on the word "ask"."""

    async def think(state: Chat) -> dict[str, Any]:
        return {"steps": 1}

    async def answer(state: Chat) -> dict[str, Any]:
        said = state["messages"][-1].text
        if said == "fail":
            raise RuntimeError("asked to fail")
        approved = interrupt({"question": said}) if said == "ask" else "yes"
        return {"messages": [AIMessage(f"{approved} to {said}")], "steps": 1}

    graph = StateGraph(Chat)
    graph.add_node("think", think)
    graph.add_node("answer", answer)
    graph.add_edge(START, "think")
    graph.add_edge("think", "answer")
    graph.add_edge("answer", END)
    return graph.compile(checkpointer=saver)


def thread(thread_id: str = "t", tenant_id: str = "acme") -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "tenant_id": tenant_id}}


def says(text: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(text)], "steps": 0}


async def count(database: Database, table: str) -> int:
    async with database.raw() as connection:
        found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
        return found


async def test_the_conformance_suite_passes_with_every_capability(database: Database) -> None:
    """LangChain's suite finds all eight capabilities and no failure in any."""

    @checkpointer_test(name="AsyncpgSaver")
    async def saver() -> AsyncGenerator[AsyncpgSaver, None]:
        yield AsyncpgSaver(database)

    report = await validate(saver)
    failures = {name: result.failures for name, result in report.results.items() if result.failures}
    assert failures == {}
    assert {name for name, result in report.results.items() if result.passed} == {item.value for item in Capability}


@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
async def test_a_thread_is_remembered_with_every_durability(database: Database, durability: Durability) -> None:
    """The second turn sees the first, and another process' saver sees both."""
    graph = chat(AsyncpgSaver(database))
    await graph.ainvoke(says("one"), thread(), durability=durability)
    await graph.ainvoke(says("two"), thread(), durability=durability)
    state = await chat(AsyncpgSaver(database)).aget_state(thread())
    assert [message.text for message in state.values["messages"]] == ["one", "yes to one", "two", "yes to two"]
    assert state.values["steps"] == 4
    assert state.next == ()


@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
async def test_an_interrupt_is_resumed_with_every_durability(database: Database, durability: Durability) -> None:
    """A question waits in the store, and the answer continues the node that asked."""
    graph = chat(AsyncpgSaver(database))
    paused = await graph.ainvoke(says("ask"), thread(), durability=durability)
    assert paused["__interrupt__"][0].value == {"question": "ask"}
    done = await chat(AsyncpgSaver(database)).ainvoke(Command(resume="certainly"), thread(), durability=durability)
    assert done["messages"][-1].text == "certainly to ask"


async def test_a_failed_step_is_repeated_alone(database: Database) -> None:
    """With durability "sync", a turn that failed in its second node resumes there: the first is not run again."""
    graph = chat(AsyncpgSaver(database))
    with pytest.raises(RuntimeError, match="asked to fail"):
        await graph.ainvoke(says("fail"), thread(), durability="sync")
    await graph.aupdate_state(thread(), {"messages": [HumanMessage("better")], "steps": 0}, as_node="think")
    done = await graph.ainvoke(None, thread(), durability="sync")
    assert done["messages"][-1].text == "yes to better"
    assert done["steps"] == 2


async def test_a_thread_that_is_never_rewound_is_read_by_its_steps(database: Database) -> None:
    """Of two checkpoints the one that is furthest on is the newest to a reader of threads, the one with the higher id to
    LangGraph.
    """
    saver = AsyncpgSaver(database)
    for checkpoint_id, step in (("2", 7), ("1", 8)):
        checkpoint = generate_checkpoint(checkpoint_id=checkpoint_id, channel_values={"said": step})
        versions: ChannelVersions = {"said": f"v{step}"}
        await saver.aput(generate_config("t"), {**checkpoint, "channel_versions": versions}, {"step": step}, versions)
    found = [await reader.aget_tuple(generate_config("t")) for reader in (ThreadReader(database), saver)]
    assert [one.checkpoint["channel_values"] for one in found if one] == [{"said": 8}, {"said": 7}]


async def test_a_checkpoint_is_found_by_its_tenant_only(database: Database) -> None:
    """The right thread id under another tenant, or under none, finds nothing."""
    saver = AsyncpgSaver(database)
    await chat(saver).ainvoke(says("secret"), thread(tenant_id="acme"))
    assert await saver.aget_tuple(thread(tenant_id="acme")) is not None
    assert await saver.aget_tuple(thread(tenant_id="evil")) is None
    assert await saver.aget_tuple({"configurable": {"thread_id": "t"}}) is None
    assert [found async for found in saver.alist(thread(tenant_id="evil"))] == []


async def test_erasing_a_thread_leaves_nothing_of_it(database: Database) -> None:
    """Checkpoints, values and writes of the thread are gone, another thread's are not."""
    saver = AsyncpgSaver(database)
    for name in ("gone", "kept"):
        await chat(saver).ainvoke(says("ask"), thread(name), durability="sync")
    await saver.adelete_thread("gone")
    for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
        async with database.raw() as connection:
            left = {row["thread_id"] for row in await connection.fetch(f"SELECT thread_id FROM {table}")}
        assert left == {"kept"}


@dataclass
class Trap:
    """A type of our own that nobody allowed."""

    text: str


async def test_a_type_that_was_not_allowed_does_not_come_back(database: Database) -> None:
    """Bytes that name a class are read as plain data unless the saver was told of the class."""
    strict, told = AsyncpgSaver(database), AsyncpgSaver(database, allowlist=[Trap])
    planted = JsonPlusSerializer(allowed_msgpack_modules=True).dumps_typed(Trap(text="boo"))
    assert not isinstance(strict.serde.loads_typed(planted), Trap)
    assert told.serde.loads_typed(planted) == Trap(text="boo")


async def test_a_filter_is_data_and_scalar(database: Database) -> None:
    """Quotes in a filter are just characters, and a nested filter, which could match in part, is refused."""
    saver = AsyncpgSaver(database)
    await chat(saver).ainvoke(says("hello"), thread())
    assert [found async for found in saver.alist(thread(), filter={"x') OR ('1'='1": "y"})] == []
    with pytest.raises(InvalidRequest):
        [found async for found in saver.alist(thread(), filter={"parents": {}})]


async def test_writes_come_back_in_the_order_in_which_live_execution_applies_them(database: Database) -> None:
    """By task path first, whatever the task ids and the order of arrival: a reducer may depend on it."""
    saver = AsyncpgSaver(database)
    stored = await saver.aput(generate_config("t"), generate_checkpoint(), {}, {})
    await saver.aput_writes(stored, [("c", "third"), ("c", "fourth")], "a-task", "~path, 2")
    await saver.aput_writes(stored, [("c", "first"), ("c", "second")], "z-task", "~path, 1")
    found = await saver.aget_tuple(stored)
    assert found is not None
    assert [value for _, _, value in found.pending_writes or ()] == ["first", "second", "third", "fourth"]


async def test_two_branches_of_a_rewound_thread_do_not_share_values(database: Database) -> None:
    """A thread continued twice from one point keeps what each branch said."""
    graph = chat(AsyncpgSaver(database))
    await graph.ainvoke(says("one"), thread())
    origin = (await graph.aget_state(thread())).config
    left = await graph.ainvoke(says("left"), origin)
    right = await graph.ainvoke(says("right"), origin)
    assert left["messages"][-1].text == "yes to left"
    assert right["messages"][-1].text == "yes to right"
    states = [state async for state in graph.aget_state_history(thread()) if state.next == ()]
    assert {state.values["messages"][-1].text for state in states} == {"yes to one", "yes to left", "yes to right"}
