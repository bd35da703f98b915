"""Runs the tool calls of one answer: at once, within limits, each reported and each result screened by the guard, and marked
with where it comes from.

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
from graphs.outside import harmless
from graphs.parallel import in_parallel
from graphs.provenance import Provenance, Seen, marked, seen_in
from graphs.tools.caller import called_in
from graphs.tools.calling import CalledTool
from graphs.tools.care import ToolCalled, ToolCare
from graphs.tools.declaration import UNDECLARED, declaration_of
from graphs.tools.effects import LedgerCalls
from graphs.tools.gate import TAINT_RULE, EffectPolicy
from graphs.tools.outcomes import Outcome, Problem, Reply, told
from graphs.tools.planning import PlannedCall, Planner
from services.errors import ConfigurationError
from services.events import GuardrailTripped, ToolFinished, ToolStarted
from services.guard import Action, Stage
from services.runs.effects import EffectCall
from services.runs.types import RunContext
from services.telemetry import genai
from services.telemetry.spans import NO_SPAN, UNTRACED, Span, Trace

MAX_NAME_CHARS = 200
UNKNOWN = "unknown"
"""What a tool that a model invented is counted as."""

_NOT_MADE = frozenset(
    {
        Outcome.REFUSED,
        Outcome.UNAVAILABLE,
        Outcome.CANCELLED,
        Outcome.REJECTED,
        Outcome.ANSWERED,
        Outcome.HELD,
        Outcome.UNCERTAIN,
    }
)


class ToolExecution:
    """The tools of one agent, ready to be called. Built once, used by every run at the same time. `policy` is what an operator
    says of calls that a tainted turn may not make unasked.

    Raises ConfigurationError for a tool whose calls go by the ledger where the care has none.
    """

    def __init__(self, tools: Sequence[BaseTool], care: ToolCare, policy: EffectPolicy | None = None) -> None:
        self._observer = care.observer
        self._fence = care.fence
        self._tools = {tool.name: CalledTool(tool, care.limits, care.breakers.get(tool.name)) for tool in tools}
        self._declared = {tool.name: declaration_of(tool) for tool in tools}
        self._effects = frozenset(name for name, declared in self._declared.items() if declared.ledgered)
        if self._effects and care.ledger is None:
            name = next(iter(self._effects))
            raise ConfigurationError(f"The tool {name!r} has an effect, and there is no ledger for it.", param="tools")
        self._ledger = None if care.ledger is None else LedgerCalls(care.ledger)
        by_name = {tool.name: tool for tool in tools}
        self._planner = Planner(by_name, care.limits, care.ledger, policy or EffectPolicy())
        self.schemas: tuple[Mapping[str, Any], ...] = tuple(convert_to_openai_tool(tool) for tool in tools)
        """The tools as `ModelCall.tools` takes them."""

    async def run(
        self, messages: Sequence[BaseMessage], context: RunContext, *, source: str | None = None
    ) -> list[AnyMessage]:
        """Answer every call of the last message, in the order of the calls; one that asks for nothing gets no results.

        `messages` are all that the graph's state has of the conversation: they say what the model had read, and so what its
        calls may do. Where a person has changed a call, the answer comes first, with the call as it was made, for the state
        to replace it. `source` names the agent in the events. Raises DeadlineExceeded and GuardrailUnavailable; with tools
        that go by the ledger StoreUnavailable and RunSuperseded. Call it first thing in a node: it may end the turn with a
        question, and the node is executed once more when that goes on.
        """
        answer = messages[-1]
        if not isinstance(answer, AIMessage):
            return []
        seen = seen_in(messages, context.run)
        plans = await self._planner.plan(answer, context, seen)
        results = await in_parallel([self._answer(plan, answer, context, seen, source) for plan in plans])
        await context.events.drain()
        return [*_changed(answer, plans), *results]

    async def _answer(
        self, plan: PlannedCall, answer: AIMessage, context: RunContext, seen: Seen, source: str | None
    ) -> ToolMessage:
        call_id, name = plan.call["id"] or "", plan.name
        shown_name = shortened(name, MAX_NAME_CHARS)
        context.events.emit(
            ToolStarted(call_id=call_id, name=shown_name, arguments=shortened(plan.arguments), source=source)
        )
        if plan.held is not None and plan.reply is not None and plan.reply.outcome is Outcome.HELD:
            context.events.emit(
                GuardrailTripped(stage=Stage.TOOL_CALL, rule=TAINT_RULE, action=Action.BLOCK, message=plan.held.reason)
            )
        reply, duration_s, brought_in = Reply(outcome=Outcome.CANCELLED, text=""), 0.0, list[str]()
        span = NO_SPAN if plan.old else self._span(context.trace, name, call_id)
        try:
            started = context.deadline.clock()
            with called_in(context.run, seen) as calling:
                reply = plan.reply or await self._made(plan, context)
            brought_in = calling.brought_in
            duration_s = context.deadline.clock() - started
            reply = await self._screened(reply, context)
            reply = replace(reply, text=context.screen(reply.text))
        finally:
            if not plan.old:
                self._report(name, reply, duration_s, span)
        provenance = self._provenance(name, reply, brought_in)
        text = harmless(reply.text) if provenance.tainted_by else reply.text
        context.events.emit(
            ToolFinished(
                call_id=call_id,
                name=shown_name,
                ok=reply.ok,
                result=text,
                duration_s=duration_s,
                source=source,
            )
        )
        # The id says which run gave the result, so that a run which went on with another's turn knows its own messages.
        message_id = None if answer.id is None else f"{context.run.id}:{plan.id}"
        status = "success" if reply.ok else "error"
        message = ToolMessage(content=text, tool_call_id=call_id, name=name, status=status, id=message_id)
        return marked(message, provenance)

    def _provenance(self, name: str, reply: Reply, brought_in: Sequence[str]) -> Provenance:
        """Where a result comes from. What a tool says of a failure is its result as well; our own texts are ours."""
        origin = f"tool:{name}"
        trusted = reply.own or self._declared.get(name, UNDECLARED).returns == "trusted"
        tainted_by = tuple(dict.fromkeys([*([] if trusted else [origin]), *([] if reply.own else brought_in)]))
        return Provenance(origin=origin, tainted_by=tainted_by, fence=self._fence() if tainted_by else "")

    async def _made(self, plan: PlannedCall, context: RunContext) -> Reply:
        """Make the call, by the ledger where it has an effect."""
        tool = self._tools[plan.name]

        async def attempt() -> Reply:
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
        if verdict.action.passes:
            return reply
        rule, message = verdict.rule or "unnamed", verdict.message or "The result of a tool was not let through."
        context.events.emit(
            GuardrailTripped(stage=Stage.TOOL_RESULT, rule=rule, action=verdict.action, message=message)
        )
        if verdict.action is Action.REDACT and verdict.replacement is not None:
            return replace(reply, text=verdict.replacement)
        return told(Problem.WITHHELD)

    def _span(self, trace: Trace, name: str, call_id: str) -> Span:
        if trace is UNTRACED:
            return NO_SPAN
        tool = name if name in self._tools else UNKNOWN
        attributes = {
            genai.OPERATION_NAME: genai.EXECUTE_TOOL,
            genai.TOOL_NAME: tool,
            genai.TOOL_TYPE: "function",
            genai.TOOL_CALL_ID: call_id,
        }
        return trace.begin(f"{genai.EXECUTE_TOOL} {tool}", attributes)

    def _report(self, name: str, reply: Reply, duration_s: float, span: Span) -> None:
        span.set({genai.OUTCOME: reply.outcome.value})
        span.end(None if reply.ok else reply.outcome.value)
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
