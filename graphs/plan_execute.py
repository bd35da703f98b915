"""plan_execute: a planner writes a few steps, an executor carries them out one by one with tools, a writer answers.

    START ──▶ planner ──▶ execute ──steps left──▶ execute …
                             └──▶ writer ──▶ END

Only the writer's text is the answer; the planner's and the executor's stream under their names. Of a turn the thread keeps
the question and the answer.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.tools import BaseTool
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime

from graphs.history import fitted
from graphs.messages import instructed, settled, spoken, text_of
from graphs.outside import fenced, harmless
from graphs.prompts import grounded, prompt, question_of, working_options
from graphs.provenance import Seen, handed_on, seen_in
from graphs.react import text_only
from graphs.spec import GraphOptions
from graphs.specialist import Specialist
from graphs.state import State
from services.llm.types import ModelCall
from services.runs.types import RunContext

_ITEM = re.compile(r"^[ \t]*(?:\d+[ \t]*[.):]|[-*•])[ \t]+(?P<step>\S.*)$", re.MULTILINE)


class PlanState(State):
    """`plan`, `results` and `tainted_by` belong to one turn: the planner writes them anew. The n-th result is that of the n-th
    step; `tainted_by` is what was read from outside for any of them.
    """

    plan: list[str]
    results: list[str]
    tainted_by: list[str]


def compose(
    options: GraphOptions, tools: Sequence[BaseTool]
) -> StateGraph[PlanState, RunContext, PlanState, PlanState]:
    agent = _PlanAndExecute(options, Specialist("executor", options, tools))
    graph = StateGraph(PlanState, context_schema=RunContext)
    graph.add_node("planner", agent.plan)
    graph.add_node("execute", agent.execute)
    graph.add_node("writer", agent.write)
    graph.add_edge(START, "planner")
    graph.add_edge("planner", "execute")
    graph.add_conditional_edges("execute", steps_left)
    return graph


async def steps_left(state: PlanState) -> Literal["execute", "writer"]:
    """Go on with the plan until every step has a result."""
    return "execute" if len(state["results"]) < len(state["plan"]) else "writer"


def steps_of(text: str, *, at_most: int) -> list[str]:
    """Read a plan: the numbered or bulleted lines, or every line where a model wrote no numbers."""
    steps = [match["step"].strip() for match in _ITEM.finditer(text)]
    return (steps or [line.strip() for line in text.splitlines() if line.strip()])[:at_most]


class _PlanAndExecute:
    def __init__(self, options: GraphOptions, executor: Specialist) -> None:
        self._max_plan_steps = options.max_plan_steps
        self._history = options.history
        self._executor = executor
        self._fence = options.tool_care.fence

    async def plan(self, state: PlanState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context, role = runtime.context, prompt(runtime.context, "planner")
        seen = await fitted(state, context, self._history, prompt=role)
        conversation = instructed(role, spoken(seen.messages))
        call = ModelCall(messages=conversation, options=working_options(context))
        answer = await context.model.generate(call, source="planner")
        steps = steps_of(text_of(answer), at_most=self._max_plan_steps)
        return {**seen.update, "plan": steps or [question_of(state["messages"])], "results": [], "tainted_by": []}

    async def execute(self, state: PlanState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        step = state["plan"][len(state["results"])]
        done = "\n".join(_numbered(state)) or "none yet"
        task = (
            f"The request: {question_of(state['messages'])}\n\nResults so far:\n{done}\n\nCarry out this step: {step}"
        )
        seen = seen_in(state["messages"], runtime.context.run).and_by(state["tainted_by"])
        report = await self._executor.work(task, runtime.context, seen)
        text = fenced(harmless(report.text), self._fence()) if report.tainted_by else report.text
        tainted_by = dict.fromkeys((*state["tainted_by"], *report.tainted_by))
        return {"results": [*state["results"], text], "tainted_by": list(tainted_by)}

    async def write(self, state: PlanState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context, role, facts = runtime.context, prompt(runtime.context, "writer"), _numbered(state)
        seen = await fitted(state, context, self._history, prompt="\n".join((role, *facts)))
        conversation = grounded(seen.messages, "Results of the steps", facts)
        call = ModelCall(messages=instructed(role, conversation), options=context.run.options)
        answer = text_only(settled(await context.model.generate(call)))
        # The results go with the turn; what they were made of stays known.
        read = seen_in(state["messages"], context.run).and_by(state["tainted_by"]).tainted_by
        return {**seen.update, "messages": [handed_on(answer, Seen(tainted_by=read)) if read else answer]}


def _numbered(state: PlanState) -> list[str]:
    pairs = zip(state["plan"], state["results"], strict=False)  # while the plan is carried out, results are fewer
    return [f"{number}. {step}: {result}" for number, (step, result) in enumerate(pairs, 1)]
