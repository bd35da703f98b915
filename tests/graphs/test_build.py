"""What is refused when a graph is built, and what a thread's reducer mends."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.graph import START, StateGraph

from graphs import GRAPHS
from graphs.build import build
from graphs.spec import GraphOptions, GraphSpec
from graphs.state import State, add_turn
from services.errors import ConfigurationError, InternalError
from services.runs.types import RunContext
from tests.graphs.fakes import calls, make_graph, says, shape, turn


def test_an_unknown_kind_is_refused() -> None:
    """A misspelt kind is an error that lists those there are."""
    with pytest.raises(ConfigurationError, match="react, plan_execute, supervisor"):
        build("reactor", GraphOptions(), ())


def test_a_sync_node_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that would run in a thread, where it cannot be cancelled, is refused."""

    def node(state: State) -> dict[str, Any]:
        return {}

    def compose(options: GraphOptions, tools: Sequence[BaseTool]) -> StateGraph[Any, Any, Any, Any]:
        return StateGraph(State, context_schema=RunContext).add_node("plain", node).add_edge(START, "plain")

    monkeypatch.setattr("graphs.build.GRAPHS", {**GRAPHS, "mine": GraphSpec(compose=compose)})
    with pytest.raises(ConfigurationError, match="'plain' of 'mine' is a plain function"):
        make_graph("mine")


async def test_a_graph_without_an_answer_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that ends without an assistant's message never passes for one that answered."""

    async def node(state: State) -> dict[str, Any]:
        return {}

    def compose(options: GraphOptions, tools: Sequence[BaseTool]) -> StateGraph[Any, Any, Any, Any]:
        return StateGraph(State, context_schema=RunContext).add_node("mute", node).add_edge(START, "mute")

    monkeypatch.setattr("graphs.build.GRAPHS", {**GRAPHS, "mine": GraphSpec(compose=compose)})
    with pytest.raises(InternalError, match="without an answer"):
        await make_graph("mine").invoke(turn().context)


HUMAN, NEXT = HumanMessage("first", id="1"), HumanMessage("second", id="2")
ASKED = calls(("f", {}), ("g", {}))


@pytest.mark.parametrize(
    ("left", "right", "kept"),
    [
        ([HUMAN, ASKED], NEXT, ["human", "human"]),
        ([HUMAN, ASKED, ToolMessage("1", tool_call_id="c0")], [NEXT], ["human", "human"]),
        (
            [HUMAN, ASKED, ToolMessage("1", tool_call_id="c1"), ToolMessage("1", tool_call_id="c0")],
            [NEXT],
            ["human", "ai(c0,c1)", "tool(c1)", "tool(c0)", "human"],
        ),
        ([HUMAN, ASKED], [ToolMessage("1", tool_call_id="c0")], ["human", "ai(c0,c1)", "tool(c0)"]),
        ([HUMAN, says("ok")], [NEXT], ["human", "ai", "human"]),
        ([HUMAN], [RemoveMessage("1"), NEXT], ["human"]),
        ([], [HUMAN], ["human"]),
    ],
)
def test_a_user_message_closes_open_calls(left: list[AnyMessage], right: Any, kept: list[str]) -> None:
    """Calls that were never answered go when the next user message comes, and only then; LangGraph's own operations work."""
    copies: list[AnyMessage] = [message.model_copy(deep=True) for message in left]
    assert shape(add_turn(copies, right)) == kept
