"""plain_langchain: an agent in ordinary LangGraph and LangChain code, on the run's model and with guarded tools."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import tools_condition
from langgraph.runtime import Runtime

from graphs.chat_model import RunChatModel
from graphs.spec import GraphOptions
from graphs.state import State, tool_rounds
from graphs.tools.execution import ToolExecution
from services.runs.types import RunContext


def compose(options: GraphOptions, tools: Sequence[BaseTool]) -> StateGraph[State, RunContext, State, State]:
    execution = ToolExecution(tools, options.tool_care, options.effects)

    async def agent(state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        model = RunChatModel(context=runtime.context)
        system = SystemMessage(runtime.context.prompts["system"])
        with_tools = tool_rounds(state["messages"]) < options.max_tool_rounds
        chain = model.bind_tools(tools) if with_tools else model
        return {"messages": [await chain.ainvoke([system, *state["messages"]])]}

    async def call_tools(state: State, runtime: Runtime[RunContext]) -> dict[str, Any]:
        return {"messages": await execution.run(state["messages"], runtime.context)}

    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("agent", agent)
    graph.add_node("tools", call_tools)
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", tools_condition)
    graph.add_edge("tools", "agent")
    return graph
