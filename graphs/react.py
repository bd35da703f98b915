"""react: the model calls tools until it can answer.

    START ──▶ model ──tool calls──▶ tools ──▶ model …
                └──text──▶ END

After `max_tool_rounds` the model is called without tools, so a model that would go on for ever has to answer.
"""

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime

from graphs.history import fitted
from graphs.messages import instructed, settled, text_of, without_calls
from graphs.prompts import closing, prompt, working_options
from graphs.spec import GraphOptions
from graphs.state import State, tool_rounds
from graphs.tools.execution import ToolExecution
from services.errors import StepLimitExceeded
from services.llm.types import ModelCall
from services.runs.types import RunContext


def compose(options: GraphOptions, tools: Sequence[BaseTool]) -> StateGraph[State, RunContext, State, State]:
    return compose_agent(options, tools, role="system")


def compose_agent(
    options: GraphOptions, tools: Sequence[BaseTool], *, role: str, source: str | None = None
) -> StateGraph[State, RunContext, State, State]:
    """Lay out one agent. `role` is the key of its prompt; `source`, where set, names it in the events: its text is then not the
    answer, but work for another agent.
    """
    agent = _Agent(ToolExecution(tools, options.tool_care, options.effects), options, role, source)
    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("model", agent.call_model)
    graph.add_node("tools", agent.call_tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", route)
    graph.add_edge("tools", "model")
    return graph


async def route(state: State) -> Literal["tools", "__end__"]:
    """Go to the tools if the last answer asks for them, else end. Async, as LangGraph sends a plain function to a thread."""
    last = state["messages"][-1]
    return "tools" if isinstance(last, AIMessage) and last.tool_calls else "__end__"


class _Agent:
    def __init__(self, tools: ToolExecution, options: GraphOptions, role: str, source: str | None) -> None:
        self._tools = tools
        self._max_tool_rounds = options.max_tool_rounds
        self._history = options.history
        self._role = role
        self._source = source

    async def call_model(self, state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context, role = runtime.context, prompt(runtime.context, self._role)
        open_tools = self._tools.schemas if tool_rounds(state["messages"]) < self._max_tool_rounds else ()
        seen = await fitted(state, context, self._history, prompt=role, tools=open_tools)
        conversation = instructed(role, seen.messages) if open_tools else closing(context, self._role, seen.messages)
        options = context.run.options if self._source is None else working_options(context)
        call = ModelCall(messages=conversation, tools=open_tools, options=options)
        answer = settled(await context.model.generate(call, source=self._source))
        return {**seen.update, "messages": [answer if open_tools else text_only(answer)]}

    async def call_tools(self, state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        return {"messages": await self._tools.run(state["messages"], runtime.context, source=self._source)}


def text_only(answer: AIMessage) -> AIMessage:
    """Return the answer of a call that had no tools. Raises StepLimitExceeded when it still is nothing but tool calls."""
    if not answer.tool_calls:
        return answer
    if not text_of(answer).strip():
        raise StepLimitExceeded("The model kept asking for tools after its last round and gave no answer.")
    return without_calls(answer)
