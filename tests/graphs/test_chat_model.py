"""The run's model as a LangChain chat model."""

from collections.abc import Sequence
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.runtime import Runtime
from pydantic import BaseModel

from graphs import GRAPHS
from graphs.chat_model import RunChatModel
from graphs.spec import GraphOptions, GraphSpec
from services.runs.types import RunContext
from services.types import ModelOptions
from tests.graphs.fakes import calls, make_graph, memory, says, shape, turn


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


COLOUR = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "warm": {"type": "boolean"}},
    "required": ["name", "warm"],
}
RED = '{"name": "red", "warm": true}'


class ColourDict(TypedDict):
    """A colour, by name."""

    name: str
    warm: bool


@pytest.mark.parametrize(
    ("schema", "read"),
    [
        (Colour, Colour(name="red", warm=True)),
        (ColourDict, {"name": "red", "warm": True}),
        ({"title": "Colour", "description": "A colour, by name.", **COLOUR}, {"name": "red", "warm": True}),
    ],
    ids=["model", "typed dict", "schema"],
)
async def test_structured_output_by_schema(schema: Any, read: object) -> None:
    """With `json_schema` the provider is held to the schema, in OpenAI's form, and no tool is called."""
    turned = turn(says(RED))
    model = RunChatModel(context=turned.context).with_structured_output(schema, method="json_schema", strict=True)
    assert await model.ainvoke("Which colour?") == read
    asked = turned.model.asked[0].call
    assert asked.tools == ()
    assert asked.response_format is not None
    described = asked.response_format["json_schema"]
    assert (asked.response_format["type"], described["strict"]) == ("json_schema", True)
    assert described["name"] == getattr(schema, "__name__", "Colour")
    assert described["description"] == "A colour, by name."
    assert described["schema"]["required"] == ["name", "warm"]


async def test_structured_output_by_json_mode() -> None:
    """With `json_mode` the provider is held to some JSON, which is read as the schema, or as it is without one."""
    turned = turn(says(RED), says(RED), says(RED))
    model = RunChatModel(context=turned.context)
    assert await model.with_structured_output(Colour, method="json_mode").ainvoke("?") == Colour(name="red", warm=True)
    assert await model.with_structured_output(method="json_mode").ainvoke("?") == {"name": "red", "warm": True}
    await model.ainvoke("Which colour?")
    formats = [asked.call.response_format for asked in turned.model.asked]
    assert formats == [{"type": "json_object"}, {"type": "json_object"}, None]


async def test_unreadable_structured_output_is_told() -> None:
    """An answer that is not what was asked for is an error, or, with `include_raw`, lies beside its message."""
    turned = turn(says("red"), says("red"), says(RED))
    model = RunChatModel(context=turned.context)
    with pytest.raises(OutputParserException):
        await model.with_structured_output(Colour, method="json_schema").ainvoke("?")
    raw = model.with_structured_output(Colour, method="json_schema", include_raw=True)
    unread, read = await raw.ainvoke("?"), await raw.ainvoke("?")
    assert (unread["raw"].content, unread["parsed"]) == ("red", None)
    assert isinstance(unread["parsing_error"], OutputParserException)
    assert (read["parsed"], read["parsing_error"]) == (Colour(name="red", warm=True), None)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"type": "json_object"}, {"type": "json_object"}),
        ({"type": "json_schema", "json_schema": {"name": "c", "schema": COLOUR}}, None),
        (None, {}),
    ],
)
async def test_a_response_format_is_bound(given: dict[str, Any] | None, sent: dict[str, Any] | None) -> None:
    """`bind(response_format=...)` reaches the provider as it was written; a schema in that form is taken by both ways."""
    turned = turn(says("{}"), says("{}"))
    model = RunChatModel(context=turned.context)
    await model.bind(response_format=given).ainvoke("?")
    assert (turned.model.asked[0].call.response_format or {}) == (given if sent is None else sent)
    if sent is None:
        await model.with_structured_output(given, method="json_schema").ainvoke("?")
        assert turned.model.asked[1].call.response_format == given


async def test_a_class_as_a_response_format() -> None:
    """`bind` takes a model class, as LangChain's OpenAI models do."""
    turned = turn(says(RED))
    await RunChatModel(context=turned.context).bind(response_format=Colour).ainvoke("?")
    asked = turned.model.asked[0].call.response_format
    assert asked is not None
    assert asked["json_schema"]["name"] == "Colour"
    assert "strict" not in asked["json_schema"]


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_output_needs_a_schema(method: Any) -> None:
    """Only JSON without a schema can be asked for without one."""
    with pytest.raises(ValueError, match="schema"):
        RunChatModel(context=turn().context).with_structured_output(method=method)


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
    graph, thread_id = make_graph("prebuilt", checkpointing=memory()), uuid4()
    turned = turn(calls(("calculator", {"expression": "6 * 7"})), says("42"), thread_id=thread_id)
    assert shape((await graph.invoke(turned.context)).messages) == ["assistant(c0)", "tool(c0)", "assistant"]
    second = turn(says("As I said."), thread_id=thread_id)
    assert [message.content for message in (await graph.invoke(second.context)).messages] == ["As I said."]
    # Nobody has said where the result of LangGraph's own node comes from, so it is shown as what comes from outside.
    asked = second.model.asked[0].call.messages
    assert shape(asked) == ["system", "human", "ai(c0)", "tool(c0)", "ai", "human"]
    assert "[outside" in str(asked[3].content)


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
