"""Runs the tool calls of one answer: at once, within limits, each reported and each result screened by the guard.

What a tool does wrong is something for the model to read, so no failure of a tool fails the run. Four things do: the run's
deadline, a guard that gives no verdict (it fails closed), a ledger that cannot record what a tool is about to do, and
cancellation, which reaches every tool at once. A question to a person ends the turn, before any call of the answer is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from graphs.messages import shortened
from graphs.parallel import in_parallel
from graphs.tools.caller import called_in
from graphs.tools.calling import CalledTool
from graphs.tools.care import ToolCalled, ToolCare
from graphs.tools.declaration import declaration_of
from graphs.tools.effects import LedgerCalls
from graphs.tools.outcomes import Outcome, Problem, Reply, told
from graphs.tools.planning import PlannedCall, Planner
from services.errors import ConfigurationError
from services.events import GuardrailTripped, ToolFinished, ToolStarted
from services.guard import Action, Stage
from services.runs.effects import EffectCall
from services.runs.types import RunContext

MAX_NAME_CHARS = 200
UNKNOWN = "unknown"
"""What a tool that a model invented is counted as."""

_NOT_MADE = frozenset(
    {Outcome.REFUSED, Outcome.UNAVAILABLE, Outcome.CANCELLED, Outcome.REJECTED, Outcome.ANSWERED, Outcome.UNCERTAIN}
)


class ToolExecution:
    """The tools of one agent, ready to be called. Built once, used by every run at the same time.

    Raises ConfigurationError for a tool with an effect where the care has no ledger.
    """

    def __init__(self, tools: Sequence[BaseTool], care: ToolCare) -> None:
        self._observer = care.observer
        self._tools = {tool.name: CalledTool(tool, care.limits, care.breakers.get(tool.name)) for tool in tools}
        self._effects = frozenset(tool.name for tool in tools if declaration_of(tool).ledgered)
        if self._effects and care.ledger is None:
            name = next(iter(self._effects))
            raise ConfigurationError(f"The tool {name!r} has an effect, and there is no ledger for it.", param="tools")
        self._ledger = None if care.ledger is None else LedgerCalls(care.ledger)
        self._planner = Planner({tool.name: tool for tool in tools}, care.limits, care.ledger)
        self.schemas: tuple[Mapping[str, Any], ...] = tuple(convert_to_openai_tool(tool) for tool in tools)
        """The tools as `ModelCall.tools` takes them."""

    async def run(self, answer: BaseMessage, context: RunContext, *, source: str | None = None) -> list[AnyMessage]:
        """Answer every call of `answer`, in the order of the calls; a message that asks for nothing gets no results.

        Where a person has changed a call, `answer` comes first, with the call as it was made, for the state to replace it.
        `source` names the agent in the events. Raises DeadlineExceeded and GuardrailUnavailable; with tools that have
        effects StoreUnavailable and RunSuperseded. Call it first thing in a node, with an answer from the graph's state:
        where tools need approval it may end the turn, and the node is executed once more when that goes on.
        """
        if not isinstance(answer, AIMessage):
            return []
        plans = await self._planner.plan(answer, context)
        results = await in_parallel([self._answer(plan, answer, context, source) for plan in plans])
        await context.events.drain()
        return [*_changed(answer, plans), *results]

    async def _answer(
        self, plan: PlannedCall, answer: AIMessage, context: RunContext, source: str | None
    ) -> ToolMessage:
        call_id, name = plan.call["id"] or "", plan.name
        shown_name = shortened(name, MAX_NAME_CHARS)
        context.events.emit(
            ToolStarted(call_id=call_id, name=shown_name, arguments=shortened(plan.arguments), source=source)
        )
        reply, duration_s = Reply(outcome=Outcome.CANCELLED, text=""), 0.0
        try:
            started = context.deadline.clock()
            reply = plan.reply or await self._made(plan, context)
            duration_s = context.deadline.clock() - started
            reply = await self._screened(reply, context)
            reply = replace(reply, text=context.screen(reply.text))
        finally:
            if not plan.old:
                self._report(name, reply, duration_s)
        context.events.emit(
            ToolFinished(
                call_id=call_id,
                name=shown_name,
                ok=reply.ok,
                result=reply.text,
                duration_s=duration_s,
                source=source,
            )
        )
        # The id says which run gave the result, so that a run which went on with another's turn knows its own messages.
        message_id = None if answer.id is None else f"{context.run.id}:{plan.id}"
        status = "success" if reply.ok else "error"
        return ToolMessage(content=reply.text, tool_call_id=call_id, name=name, status=status, id=message_id)

    async def _made(self, plan: PlannedCall, context: RunContext) -> Reply:
        """Make the call, by the ledger where it has an effect."""
        tool = self._tools[plan.name]

        async def attempt() -> Reply:
            with called_in(context.run):
                return await tool.call(plan.call, context.deadline)

        if self._ledger is None or plan.name not in self._effects:
            return await attempt()
        call = EffectCall(id=plan.id, tool=plan.name)
        if plan.ruled and plan.entry is not None:
            return await self._ledger.carry_out(call, plan.entry.key, context, attempt)
        return await self._ledger.make(call, plan.entry, context, attempt)

    async def _screened(self, reply: Reply, context: RunContext) -> Reply:
        if reply.own:
            return reply
        verdict = await context.guard.check([reply.text], Stage.TOOL_RESULT)
        if verdict.action is Action.ALLOW:
            return reply
        rule, message = verdict.rule or "unnamed", verdict.message or "The result of a tool was not let through."
        context.events.emit(
            GuardrailTripped(stage=Stage.TOOL_RESULT, rule=rule, action=verdict.action, message=message)
        )
        if verdict.action is Action.REDACT and verdict.replacement is not None:
            return replace(reply, text=verdict.replacement)
        return told(Problem.WITHHELD)

    def _report(self, name: str, reply: Reply, duration_s: float) -> None:
        tool = name if name in self._tools else UNKNOWN
        made_s = None if reply.outcome in _NOT_MADE else duration_s
        self._observer.tool_called(
            ToolCalled(tool=tool, outcome=reply.outcome, duration_s=made_s, abandoned=reply.abandoned)
        )


def _changed(answer: AIMessage, plans: Sequence[PlannedCall]) -> list[AIMessage]:
    """The answer with its calls as they were decided, if that is not how they were asked for."""
    calls = [plan.call for plan in plans]
    if answer.id is None or all(plan.call is asked for plan, asked in zip(plans, answer.tool_calls, strict=True)):
        return []
    return [answer.model_copy(update={"tool_calls": calls})]
