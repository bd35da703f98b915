"""draft_review: a writer drafts, a critic objects, the writer answers."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime

from graphs.messages import instructed, settled, text_of
from graphs.prompts import prompt
from graphs.spec import GraphOptions
from graphs.state import State
from services.llm.types import ModelCall
from services.runs.types import RunContext


class ReviewState(State):
    draft: str
    objections: str


async def write_draft(state: ReviewState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    context = runtime.context
    call = ModelCall(messages=instructed(prompt(context, "writer"), state["messages"]))
    return {"draft": text_of(await context.model.generate(call, silent=True))}


async def object_to_it(state: ReviewState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    context = runtime.context
    call = ModelCall(messages=instructed(prompt(context, "critic"), [HumanMessage(state["draft"])]))
    return {"objections": text_of(await context.model.generate(call, source="critic"))}


async def answer(state: ReviewState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    context = runtime.context
    review = HumanMessage(f"Your draft:\n{state['draft']}\n\nObjections:\n{state['objections']}\n\nWrite the answer.")
    call = ModelCall(
        messages=instructed(prompt(context, "writer"), [*state["messages"], review]), options=context.run.options
    )
    return {"messages": [settled(await context.model.generate(call))]}


def compose(
    options: GraphOptions, tools: Sequence[BaseTool]
) -> StateGraph[ReviewState, RunContext, ReviewState, ReviewState]:
    graph = StateGraph(ReviewState, context_schema=RunContext)
    graph.add_sequence([write_draft, object_to_it, answer])
    graph.add_edge(START, "write_draft")
    return graph
