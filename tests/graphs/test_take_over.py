"""A replica dies at any moment, and another goes on: the thread, the client and the world are as if nothing had happened."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from graphs import GRAPHS
from graphs.spec import GraphOptions, GraphSpec
from graphs.state import State
from graphs.tools.declaration import Repeat
from graphs.tools.execution import ToolExecution
from services.llm.types import ModelCall
from services.runs.types import GraphResult, RunContext
from services.types import ToolCall
from tests.graphs.fakes import calls, says
from tests.graphs.mortal import World
from tests.graphs.test_contract import one_round

SUM = ("calculator", {"expression": "6 * 7"})
MAILS = (("send_mail", {"to": "alice"}), ("send_mail", {"to": "bob"}))


def results_of(messages: Sequence[BaseMessage]) -> int:
    """How many results there are since the last question."""
    asked = max(index for index, message in enumerate(messages) if isinstance(message, HumanMessage))
    return sum(isinstance(message, ToolMessage) for message in messages[asked:])


def mailing(call: ModelCall) -> AIMessage:
    """Calculate, send two mails at once, calculate again, and tell of it."""
    match results_of(call.messages):
        case 0:
            return calls(SUM, text="First I calculate.")
        case 1:
            return calls(*MAILS, text="Now I write to them.")
        case 3:
            return calls(SUM, text="And once more.")
        case _:
            return says("It is done.")


def told(result: GraphResult | None) -> list[tuple[str, str, tuple[ToolCall, ...]]]:
    assert result is not None
    return [(message.role, message.content, message.tool_calls) for message in result.messages]


async def test_a_service_that_knows_its_keys_is_called_again() -> None:
    """Wherever the replica dies, each mail arrives once, and client and thread have what an undisturbed run gives them."""
    world = World(mailing, effect="idempotent")
    undisturbed = await world.to_the_end()
    for moment in range(1, undisturbed.moments + 1):
        ending = await world.to_the_end([moment])
        assert world.mails == ["alice", "bob"], moment
        assert world.seen(ending.run) == world.seen(undisturbed.run), moment
        assert world.said(ending.run) == world.said(undisturbed.run), moment
        assert told(ending.result) == told(undisturbed.result), moment
        assert world.asked == []


@pytest.mark.parametrize("effect", ["once", "idempotent"])
@pytest.mark.parametrize("approve", [(), ("send_mail",)])
async def test_no_effect_is_repeated(effect: Repeat, approve: tuple[str, ...]) -> None:
    """Wherever a replica dies, and the one after it too, each mail is sent once: a person is asked where nobody knows."""
    world = World(mailing, effect=effect, approve=approve)
    undisturbed = await world.to_the_end()
    for moments in [(first, first * 7 % 30 + 1) for first in range(1, undisturbed.moments + 16)]:
        ending = await world.to_the_end(moments)
        assert world.mails == ["alice", "bob"], moments
        assert told(ending.result)[-1][1] == "It is done.", moments


def side_by_side(options: GraphOptions, tools: Sequence[BaseTool]) -> StateGraph[State, RunContext, State, State]:
    """A graph that has two nodes at once send a mail each, and then answers."""
    execution = ToolExecution(tools, options.tool_care)

    async def plan(state: State) -> Sequence[Send]:
        asked = [
            calls(mail).model_copy(update={"id": f"{state['messages'][-1].id}-{n}"}) for n, mail in enumerate(MAILS)
        ]
        return [Send("send", {"messages": [answer]}) for answer in asked]

    async def begin(state: State) -> Mapping[str, Any]:
        return {}

    async def send(state: State, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        results = await execution.run(state["messages"], runtime.context)
        return {"messages": [AIMessage(str(result.content)) for result in results if isinstance(result, ToolMessage)]}

    async def answer(state: State, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
        return {"messages": [await runtime.context.model.generate(ModelCall(messages=state["messages"]))]}

    graph = StateGraph(State, context_schema=RunContext)
    for name, node in (("begin", begin), ("send", send), ("answer", answer)):
        action: Any = node
        graph.add_node(name, action)
    graph.add_edge(START, "begin")
    graph.add_conditional_edges("begin", plan)
    graph.add_edge("send", "answer")
    return graph


@pytest.mark.parametrize("effect", ["once", "idempotent"])
@pytest.mark.parametrize("approve", [(), ("send_mail",)])
async def test_no_effect_of_nodes_side_by_side_is_repeated(
    monkeypatch: pytest.MonkeyPatch, effect: Repeat, approve: tuple[str, ...]
) -> None:
    """Nodes that work at once, each with its own calls, questions and records, keep the same promise."""
    monkeypatch.setattr("graphs.build.GRAPHS", {**GRAPHS, "side_by_side": GraphSpec(compose=side_by_side)})
    world = World(lambda call: says("It is done."), kind="side_by_side", effect=effect, approve=approve)
    undisturbed = await world.to_the_end()
    assert len(world.asked) == (2 if approve else 0)
    for moments in [(first, first * 7 % 30 + 1) for first in range(1, undisturbed.moments + 16)]:
        ending = await world.to_the_end(moments)
        assert world.mails == ["alice", "bob"], moments
        assert told(ending.result)[-1][1] == "It is done.", moments


@pytest.mark.parametrize("kind", ["plan_execute", "supervisor"])
async def test_every_kind_goes_on_where_it_was(kind: str) -> None:
    """Whichever step a graph dies in, client and thread have in the end what an undisturbed run gives them."""
    world = World(one_round, kind=kind)
    undisturbed = await world.to_the_end()
    for moment in range(1, undisturbed.moments + 1):
        ending = await world.to_the_end([moment])
        assert world.seen(ending.run) == world.seen(undisturbed.run), moment
        assert world.said(ending.run) == world.said(undisturbed.run), moment
        assert told(ending.result) == told(undisturbed.result), moment


async def test_a_run_that_had_ended_returns_its_result_at_once() -> None:
    """A replica that dies between the end of its graph and the record of it leaves nothing to do but to record it."""
    world = World(mailing, effect="idempotent")
    ending = await world.attempt()
    later = await world.attempt(ending.run)
    assert (told(later.result), later.moments) == (told(ending.result), 0)


async def test_a_question_is_asked_again_at_once() -> None:
    """A run that was lost after it had asked, and before that was recorded, asks the same when it is taken over."""
    world = World(mailing, approve=("send_mail",))
    ending = await world.attempt()
    later = await world.attempt(ending.run)
    assert later.result == ending.result
    assert later.result is not None
    assert later.result.interrupts
