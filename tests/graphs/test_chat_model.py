"""The run's model as a LangChain chat model."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.runtime import Runtime
from pydantic import BaseModel

from graphs import GRAPHS
from graphs.chat_model import RunChatModel
from graphs.spec import GraphOptions, GraphSpec
from services.runs.types import RunContext
from services.types import ModelOptions
from tests.graphs.fakes import calls, make_graph, says, shape, turn


class Colour(BaseModel):
    """A colour, by name."""

    name: str
    warm: bool


@tool
async def paint(colour: str) -> str:
    """Paint the wall."""
    return colour


async def test_it_answers_through_the_gateway() -> None:
    """A plain call reaches the run's model with the run's options, and streams under its source."""
    turned = turn(says("red"), options=ModelOptions(temperature=0.1))
    answer = await RunChatModel(context=turned.context, source="painter").ainvoke("Which colour?")
    assert answer.content == "red"
    [asked] = turned.model.asked
    assert (asked.source, asked.silent, asked.call.options.temperature) == ("painter", False, 0.1)
    assert asked.texts == [("human", "Which colour?")]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, "auto"),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        (False, "auto"),
        ("paint", "paint"),
        ({"type": "function", "function": {"name": "paint"}}, "paint"),
    ],
)
async def test_tools_are_bound(given: object, sent: str) -> None:
    """Bound tools and LangChain's several spellings of the choice arrive as ours."""
    turned = turn(calls(("paint", {"colour": "red"})))
    answer = await RunChatModel(context=turned.context).bind_tools([paint], tool_choice=given).ainvoke("Paint!")  # type: ignore[arg-type]
    assert answer.tool_calls[0]["args"] == {"colour": "red"}
    assert turned.model.asked[0].tool_names == ["paint"]
    assert turned.model.asked[0].call.tool_choice == sent


async def test_structured_output() -> None:
    """`with_structured_output` works by a forced tool call."""
    turned = turn(calls(("Colour", {"name": "red", "warm": True})))
    model = RunChatModel(context=turned.context, silent=True).with_structured_output(Colour)
    assert await model.ainvoke("Which colour?") == Colour(name="red", warm=True)
    assert turned.model.asked[0].silent
    assert turned.model.asked[0].call.tool_choice in {"Colour", "required"}


async def test_langgraphs_own_nodes_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of LangGraph's MessagesState, ToolNode and tools_condition runs unchanged, with a thread of its own."""

    def compose(options: GraphOptions, tools: Sequence[BaseTool]) -> StateGraph[Any, Any, Any, Any]:
        async def agent(state: MessagesState, runtime: Runtime[RunContext]) -> dict[str, Any]:
            model = RunChatModel(context=runtime.context).bind_tools(tools)
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph = StateGraph(MessagesState, context_schema=RunContext)
        graph.add_node("agent", agent)
        graph.add_node("tools", ToolNode(tools))
        graph.add_edge(START, "agent")
        graph.add_conditional_edges("agent", tools_condition)
        graph.add_edge("tools", "agent")
        return graph

    monkeypatch.setattr("graphs.build.GRAPHS", {**GRAPHS, "prebuilt": GraphSpec(compose=compose)})
    graph, thread_id = make_graph("prebuilt", checkpointer=InMemorySaver()), uuid4()
    turned = turn(calls(("calculator", {"expression": "6 * 7"})), says("42"), thread_id=thread_id)
    assert shape((await graph.invoke(turned.context)).messages) == ["assistant(c0)", "tool(c0)", "assistant"]
    second = turn(says("As I said."), thread_id=thread_id)
    assert [message.content for message in (await graph.invoke(second.context)).messages] == ["As I said."]
    assert len(second.model.asked[0].call.messages) == 5


async def test_stop_words_replace_the_clients() -> None:
    """A stop sequence given in code is part of the call."""
    turned = turn(says("red"), options=ModelOptions(seed=7, stop=("x",)))
    await RunChatModel(context=turned.context).ainvoke("Which?", stop=["\n"])
    assert turned.model.asked[0].call.options == ModelOptions(seed=7, stop=("\n",))


async def test_streaming_code_gets_the_whole_answer() -> None:
    """`astream` yields the answer once; the client has already seen it grow."""
    turned = turn(says("red"))
    pieces = [piece.content async for piece in RunChatModel(context=turned.context).astream("Which?")]
    assert "".join(str(piece) for piece in pieces) == "red"
    assert len(turned.model.asked) == 1


def test_blocking_calls_are_refused() -> None:
    """A sync call says what to write instead."""
    with pytest.raises(NotImplementedError, match="ainvoke"):
        RunChatModel(context=turn().context).invoke([HumanMessage("Which?")])


async def test_answers_are_settled() -> None:
    """Calls that are no JSON leave the adapter in a form that any provider takes back."""
    broken = AIMessage(content="", invalid_tool_calls=[{"name": "paint", "args": "{", "id": None, "error": None}])
    answer = await RunChatModel(context=turn(broken).context).ainvoke("Paint!")
    assert isinstance(answer, AIMessage)
    assert (answer.tool_calls[0]["args"], answer.invalid_tool_calls) == ({}, [])
