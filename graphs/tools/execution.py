"""Runs the tool calls of one answer: at once, within limits, each reported and each result screened by the guard.

What a tool does wrong is something for the model to read, so no failure of a tool fails the run. Three things do: the
run's deadline, a guard that gives no verdict (it fails closed), and cancellation, which reaches every tool at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from graphs.messages import arguments_of, malformed_arguments, shortened
from graphs.parallel import in_parallel
from graphs.tools.calling import CalledTool
from graphs.tools.care import ToolCalled, ToolCare
from graphs.tools.outcomes import Outcome, Problem, Reply, told
from services.runs.types import RunContext
from services.types import Action, GuardrailTripped, Stage, ToolFinished, ToolStarted

MAX_NAME_CHARS = 200
UNKNOWN = "unknown"
"""What a tool that a model invented is counted as."""

_NOT_MADE = frozenset({Outcome.REFUSED, Outcome.UNAVAILABLE, Outcome.CANCELLED})


class ToolExecution:
    """The tools of one agent, ready to be called. Built once, used by every run at the same time."""

    def __init__(self, tools: Sequence[BaseTool], care: ToolCare) -> None:
        self._limits = care.limits
        self._observer = care.observer
        self._tools = {tool.name: CalledTool(tool, care.limits, care.breakers.get(tool.name)) for tool in tools}
        self.schemas: tuple[Mapping[str, Any], ...] = tuple(convert_to_openai_tool(tool) for tool in tools)
        """The tools as `ModelCall.tools` takes them."""

    async def run(self, answer: BaseMessage, context: RunContext, *, source: str | None = None) -> list[ToolMessage]:
        """Answer every call of `answer`, in the order of the calls; a message that asks for nothing gets no results.

        `source` names the agent in the events. Raises DeadlineExceeded and GuardrailUnavailable.
        """
        if not isinstance(answer, AIMessage):
            return []
        results = await in_parallel(
            [self._answer(answer, index, context, source) for index in range(len(answer.tool_calls))]
        )
        await context.events.drain()
        return results

    async def _answer(self, answer: AIMessage, index: int, context: RunContext, source: str | None) -> ToolMessage:
        call = answer.tool_calls[index]
        shown_name = shortened(call["name"], MAX_NAME_CHARS)
        call_id, name, arguments = call["id"] or "", call["name"], arguments_of(answer, call)
        context.events.emit(
            ToolStarted(call_id=call_id, name=shown_name, arguments=shortened(arguments), source=source)
        )
        reply, duration_s = Reply(outcome=Outcome.CANCELLED, text=""), 0.0
        try:
            started = context.deadline.clock()
            reply = self._refusal(answer, index, arguments) or await self._tools[name].call(call, context.deadline)
            duration_s = context.deadline.clock() - started
            reply = await self._screened(reply, context)
        finally:
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
        status = "success" if reply.ok else "error"
        return ToolMessage(content=reply.text, tool_call_id=call_id, name=name, status=status)

    def _refusal(self, answer: AIMessage, index: int, arguments: str) -> Reply | None:
        """Why the call is not made at all, None where it can be."""
        call, limits = answer.tool_calls[index], self._limits
        name = call["name"]
        if index >= limits.max_calls:
            return told(Problem.TOO_MANY, max_calls=limits.max_calls)
        if name not in self._tools:
            return told(Problem.NO_SUCH_TOOL, asked=name[:100], known=", ".join(self._tools) or "none")
        if malformed_arguments(answer, call) is not None:
            return told(Problem.NO_OBJECT, name=name, arguments=arguments[:500])
        if len(arguments) > limits.max_argument_chars:
            return told(Problem.TOO_LONG, name=name, chars=len(arguments), max_chars=limits.max_argument_chars)
        return None

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
