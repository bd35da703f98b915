"""supervisor: a router that hands tasks to specialists and answers from what they report.

    START ──▶ supervisor ──transfer_to_<agent>──▶ specialists ──▶ supervisor …
                  └──text──▶ END

A hand-over is a tool call, so any model that can call tools can route. Several in one answer are carried out at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.tools import BaseTool
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime

from graphs.history import fitted
from graphs.messages import instructed, settled, shortened
from graphs.outside import harmless
from graphs.parallel import in_parallel
from graphs.prompts import closing, prompt, question_of
from graphs.provenance import Provenance, Seen, marked, seen_in
from graphs.react import text_only
from graphs.spec import GraphOptions
from graphs.specialist import Report, Specialist
from graphs.state import State, this_turn
from services.errors import ConfigurationError
from services.events import HandedOver
from services.llm.types import ModelCall
from services.runs.types import RunContext

TRANSFER = "transfer_to_"
MATH_TOOLS = frozenset({"calculator", "clock"})
"""The tools of the specialist `math`; every other tool is one of `research`."""


def compose(options: GraphOptions, tools: Sequence[BaseTool]) -> StateGraph[State, RunContext, State, State]:
    """Lay out the graph. A specialist without tools is left out. Raises ConfigurationError when that leaves none."""
    shares = {
        "math": [tool for tool in tools if tool.name in MATH_TOOLS],
        "research": [tool for tool in tools if tool.name not in MATH_TOOLS],
    }
    specialists = {name: Specialist(name, options, share) for name, share in shares.items() if share}
    if not specialists:
        raise ConfigurationError(
            "A graph of kind 'supervisor' needs at least one tool for its specialists.", param="tools"
        )
    schemas = [_transfer_schema(name, shares[name]) for name in specialists]
    agent = _Supervisor(specialists, schemas, options)
    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("supervisor", agent.direct)
    graph.add_node("specialists", agent.hand_over)
    graph.add_edge(START, "supervisor")
    graph.add_conditional_edges("supervisor", route)
    graph.add_edge("specialists", "supervisor")
    return graph


async def route(state: State) -> Literal["specialists", "__end__"]:
    """Go to the specialists if the supervisor called any, else end."""
    last = state["messages"][-1]
    return "specialists" if isinstance(last, AIMessage) and last.tool_calls else "__end__"


class _Supervisor:
    def __init__(
        self, specialists: Mapping[str, Specialist], schemas: Sequence[Mapping[str, Any]], options: GraphOptions
    ) -> None:
        self._specialists = specialists
        self._schemas = schemas
        self._max_handovers = options.max_handovers
        self._history = options.history
        self._fence = options.tool_care.fence

    async def direct(self, state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context, role = runtime.context, prompt(runtime.context, "supervisor")
        schemas = self._schemas if _handovers(state["messages"]) < self._max_handovers else ()
        seen = await fitted(state, context, self._history, prompt=role, tools=schemas)
        conversation = instructed(role, seen.messages) if schemas else closing(context, "supervisor", seen.messages)
        call = ModelCall(messages=conversation, tools=schemas, options=context.run.options)
        answer = settled(await context.model.generate(call))
        return {**seen.update, "messages": [answer if schemas else text_only(answer)]}

    async def hand_over(self, state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        messages = state["messages"]
        answer = messages[-1]
        assert isinstance(answer, AIMessage)  # noqa: S101  # route() sends nothing else here
        room = self._max_handovers - _handovers(messages[:-1])
        request, seen = question_of(messages), seen_in(messages, runtime.context.run)
        work = [
            self._transfer(call, request, runtime.context, seen, allowed=index < room)
            for index, call in enumerate(answer.tool_calls)
        ]
        return {"messages": await in_parallel(work)}

    async def _transfer(
        self, call: ToolCall, request: str, context: RunContext, seen: Seen, *, allowed: bool
    ) -> ToolMessage:
        specialist = self._specialists.get(call["name"].removeprefix(TRANSFER))
        if specialist is None:
            known = ", ".join(TRANSFER + name for name in self._specialists)
            text = f"There is no tool called {call['name'][:100]!r}. The tools are: {known}."
            return _reply(call, Report(text=text, ok=False))
        if not allowed:
            text = f"Not done: at most {self._max_handovers} hand-overs are made per turn."
            return _reply(call, Report(text=text, ok=False))
        task = str(call["args"].get("task") or request)
        context.events.emit(HandedOver(from_agent="supervisor", to_agent=specialist.name, reason=shortened(task)))
        await context.events.drain()
        report = await specialist.work(f"{task}\n\nIt is part of this request of the user: {request}", context, seen)
        return _reply(call, report, fence=self._fence() if report.tainted_by else "")


def _handovers(messages: Sequence[Any]) -> int:
    return sum(len(message.tool_calls) for message in this_turn(messages) if isinstance(message, AIMessage))


def _reply(call: ToolCall, report: Report, *, fence: str = "") -> ToolMessage:
    """What the supervisor reads of a hand-over: a report on what came from outside comes from outside."""
    text = harmless(report.text) if report.tainted_by else report.text
    status = "success" if report.ok else "error"
    message = ToolMessage(content=text, tool_call_id=call["id"] or "", name=call["name"], status=status)
    origin = f"tool:{call['name']}"
    return marked(message, Provenance(origin=origin, tainted_by=report.tainted_by, fence=fence))


def _transfer_schema(name: str, tools: Sequence[BaseTool]) -> Mapping[str, Any]:
    task = {"type": "string", "description": "What the specialist shall do, with all it needs to know."}
    return {
        "type": "function",
        "function": {
            "name": TRANSFER + name,
            "description": f"Hand a task to the specialist {name!r}, who can use: {', '.join(tool.name for tool in tools)}.",
            "parameters": {"type": "object", "properties": {"task": task}, "required": ["task"]},
        },
    }
