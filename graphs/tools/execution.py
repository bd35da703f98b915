"""Runs the tool calls of one answer: at once, within limits, each reported and each result screened by the guard.

What a tool does wrong is something for the model to read, so no failure of a tool fails the run. Three things do: the
run's deadline, a guard that gives no verdict (it fails closed), and cancellation, which reaches every tool at once.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.tools import BaseTool, ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.errors import GraphBubbleUp
from pydantic import ValidationError

from graphs.messages import arguments_of, malformed_arguments, shortened, text_of
from graphs.parallel import in_parallel
from services.errors import MainstayError
from services.runs.types import RunContext
from services.types import Action, GuardrailTripped, Stage, ToolFinished, ToolStarted

MAX_NAME_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLimits:
    """`timeout_s` is per call, `max_calls` per answer, sizes are characters."""

    timeout_s: float = 20.0
    max_result_chars: int = 16_000
    max_argument_chars: int = 32_000
    max_calls: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What the model will read. `screened` is True for texts of our own, which the guard need not see."""

    text: str
    ok: bool
    screened: bool = False


class ToolExecution:
    """The tools of one agent, ready to be called. Built once, used by every run at the same time."""

    def __init__(self, tools: Sequence[BaseTool], limits: ToolLimits) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._limits = limits
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
        clock = context.deadline.clock
        started = clock()
        refusal = self._refusal(answer, index, arguments)
        outcome = _ours(refusal) if refusal is not None else await self._call(call, context)
        duration_s = clock() - started
        outcome = await self._screened(self._sized(outcome), context)
        context.events.emit(
            ToolFinished(
                call_id=call_id,
                name=shown_name,
                ok=outcome.ok,
                result=outcome.text,
                duration_s=duration_s,
                source=source,
            )
        )
        status = "success" if outcome.ok else "error"
        return ToolMessage(content=outcome.text, tool_call_id=call_id, name=name, status=status)

    def _refusal(self, answer: AIMessage, index: int, arguments: str) -> str | None:
        """Why the call is not made at all, None where it can be."""
        call, limits = answer.tool_calls[index], self._limits
        if index >= limits.max_calls:
            return f"Not called: at most {limits.max_calls} tool calls are answered at once. Ask again for this one."
        if call["name"] not in self._tools:
            known = ", ".join(self._tools) or "none"
            return f"There is no tool called {call['name'][:100]!r}. The tools are: {known}."
        if malformed_arguments(answer, call) is not None:
            return f"The arguments of {call['name']} must be one JSON object. This is not: {arguments[:500]}"
        if len(arguments) > limits.max_argument_chars:
            return f"The arguments are too long: {len(arguments)} characters, at most {limits.max_argument_chars}."
        return None

    async def _call(self, call: ToolCall, context: RunContext) -> _Outcome:
        name = call["name"]
        timeout_s = context.deadline.clamp(self._limits.timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                result = await self._tools[name].ainvoke({**call, "type": "tool_call"})
        except TimeoutError:
            return _ours(f"{name} did not finish within {timeout_s:g} s.")
        except ValidationError as error:
            return _ours(f"The arguments of {name} are wrong. {_described(error)}")
        except ToolException as error:
            return _Outcome(text=str(error) or f"{name} failed.", ok=False)
        except MainstayError as error:
            return _ours(f"{name} failed: {error.message}")
        except GraphBubbleUp:  # LangGraph's own signals (interrupts) are exceptions, but no failures
            raise
        except Exception:  # a tool is anybody's code; its bugs are logged, and the model goes on without it
            logging.getLogger(__name__).exception("the tool %s failed", name)
            return _ours(f"{name} failed with an internal error. Go on without it, or try other arguments.")
        if not isinstance(result, ToolMessage):
            return _ours(f"{name} returned no text.")
        return _Outcome(text=text_of(result), ok=result.status != "error")

    def _sized(self, outcome: _Outcome) -> _Outcome:
        limit = self._limits.max_result_chars
        # Neither can be stored: Postgres has no NUL in text, UTF-8 no half of a surrogate pair.
        text = outcome.text.replace("\x00", "").encode("utf-8", "replace").decode()
        if len(text) > limit:
            text = f"{text[:limit]}\n[cut off: {len(text) - limit} more characters]"
        return replace(outcome, text=text)

    async def _screened(self, outcome: _Outcome, context: RunContext) -> _Outcome:
        if outcome.screened:
            return outcome
        verdict = await context.guard.check([outcome.text], Stage.TOOL_RESULT)
        if verdict.action is Action.ALLOW:
            return outcome
        rule, message = verdict.rule or "unnamed", verdict.message or "The result of a tool was not let through."
        context.events.emit(
            GuardrailTripped(stage=Stage.TOOL_RESULT, rule=rule, action=verdict.action, message=message)
        )
        if verdict.action is Action.REDACT and verdict.replacement is not None:
            return replace(outcome, text=verdict.replacement)
        return _ours("The result was withheld by a guardrail. Do not ask for it again; say that you cannot show it.")


def _ours(text: str) -> _Outcome:
    return _Outcome(text=text, ok=False, screened=True)


def _described(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}" for item in details[:5])
