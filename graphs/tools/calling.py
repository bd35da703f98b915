"""Calls one tool: in time, behind its breaker, and so that nothing it does costs more than this one call.

A tool is foreign code. It runs in a task of its own: one that hangs is cancelled, one that ignores that is left behind, and
one that exits does not take the replica along. What cannot be helped is code that blocks the event loop.
"""

import asyncio
import logging
from collections.abc import Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import wraps
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolCall, ToolOutputMixin
from langchain_core.tools import BaseTool, ToolException
from langgraph.errors import GraphBubbleUp
from pydantic import BaseModel, ValidationError

from graphs.tools.care import ToolLimits
from graphs.tools.declaration import declaration_of
from graphs.tools.outcomes import Outcome, Problem, Reply, told
from graphs.tools.results import readable
from services.errors import DeadlineExceeded, MainstayError
from services.resilience.breaker import Breaker, BreakerOpen, Permit
from services.runs.deadline import Deadline

logger = logging.getLogger(__name__)

MAX_LOGGED_CHARS = 10_000
"""An exception whose message is longer is logged by its kind alone."""

MAX_DETAIL_CHARS = 1_000
CHARS_PER_DETAIL = 200
"""About what pydantic prints of one error."""

_CUT_OFF = frozenset({Problem.LATE, Problem.GAVE_UP, Problem.RUN_OVER, Problem.UNREACHABLE, Problem.BROKEN})
"""Ends of a call after which nobody can say whether it took effect."""


class CalledTool:
    """One tool of one agent, called by all runs at the same time. Its breaker is shared with the other agents."""

    def __init__(self, tool: BaseTool, limits: ToolLimits, breaker: Breaker | None) -> None:
        self._name = tool.name
        self._has_effect = declaration_of(tool).ledgered
        self._limits = limits
        self._breaker = breaker
        self._tool = self._contained(tool)
        # LangChain looks at no arguments where a tool has no schema of its own.
        self._unchecked: Any = tool.get_input_schema() if tool.args_schema is None else None
        self._abandoned: set[asyncio.Task[Reply]] = set()

    async def call(self, call: ToolCall, deadline: Deadline) -> Reply:
        """Call the tool; whatever it does is a reply. Raises DeadlineExceeded when no time is left to call it in."""
        timeout_s = deadline.clamp(self._limits.timeout_s)
        if len(self._abandoned) >= self._limits.max_abandoned:
            return self._told(Problem.UNAVAILABLE)
        try:
            admitted = self._admitted()
        except BreakerOpen:
            return self._told(Problem.UNAVAILABLE)
        started = deadline.clock()
        with admitted as permit:
            reply = await self._in_time(call, timeout_s)
            if permit is not None and reply.fault:
                permit.failed()
            elif permit is not None and reply.outcome is Outcome.OK:
                permit.alive(deadline.clock() - started)
        return reply

    def _admitted(self) -> AbstractContextManager[Permit | None]:
        return nullcontext() if self._breaker is None else self._breaker.admit(alternative=False)

    async def _in_time(self, call: ToolCall, timeout_s: float) -> Reply:
        task = asyncio.create_task(self._attempt(call))
        task.add_done_callback(_seen)
        try:
            await asyncio.wait([task], timeout=timeout_s)
        finally:
            in_time = task.done()
            if not in_time:
                await self._stop(task)
        if in_time:
            return self._end_of(task)
        abandoned = not task.done()
        if timeout_s < self._limits.timeout_s:
            return self._told(Problem.RUN_OVER, abandoned=abandoned)
        return self._told(Problem.LATE, abandoned=abandoned, timeout_s=timeout_s)

    async def _attempt(self, call: ToolCall) -> Reply:
        if self._unchecked is not None:
            self._unchecked.model_validate(call["args"])
        result = await self._tool.ainvoke({**call, "type": "tool_call"})
        return result if isinstance(result, Reply) else self._reply(result)

    def _end_of(self, task: "asyncio.Task[Reply]") -> Reply:
        """What an attempt came to. Raises LangGraph's own signals, such as interrupts, which are no failures."""
        if task.cancelled():
            return self._told(Problem.BROKEN)  # nobody has cancelled it: it did so itself
        match task.exception():
            case None:
                return task.result()
            case GraphBubbleUp() as signal:
                raise signal
            case ValidationError() as error:
                return self._told(Problem.WRONG_ARGUMENTS, details=_described(error))
            case ToolException() as error:
                said = _message_of(error)
                read = readable(said, self._limits.max_result_chars)
                return Reply(outcome=Outcome.ERROR, text=read) if said else self._told(Problem.FAILED)
            case error:
                return self._failure(error)

    async def _stop(self, task: "asyncio.Task[Reply]") -> None:
        """Cancel the call and wait for its end, but not for ever."""
        task.cancel()
        try:
            await asyncio.wait([task], timeout=self._limits.grace_s)
        finally:
            if not task.done():
                logger.warning("the tool %s ignores its cancellation and was left behind", self._name)
                self._abandoned.add(task)
                task.add_done_callback(self._abandoned.discard)

    def _contained(self, tool: BaseTool) -> BaseTool:
        """The tool with its code in a shell. LangChain would write a whole result as JSON before anybody could cut it, and
        runs the code in a task of its own, where `sys.exit()` would end the event loop.
        """
        run = tool._arun  # noqa: SLF001  LangChain's documented override point

        @wraps(run)
        async def contained(*args: Any, **kwargs: Any) -> Any:
            try:
                reply = self._reply(await run(*args, **kwargs))
            except (asyncio.CancelledError, GraphBubbleUp, ToolException):
                raise
            except BaseException as error:  # noqa: BLE001  a tool is anybody's code: whatever it raises is its own failure only
                reply = self._failure(error)
            return (reply, None) if tool.response_format == "content_and_artifact" else reply

        shell = tool.model_copy()
        object.__setattr__(shell, "_arun", contained)
        return shell

    def _reply(self, result: object) -> Reply:
        if self._tool.response_format == "content_and_artifact" and isinstance(result, tuple):
            result = result[0]  # what comes with it is not for the model
        if isinstance(result, ToolOutputMixin) and not isinstance(result, ToolMessage):
            return self._told(Problem.NO_TEXT)  # such as a LangGraph Command, which is none of ours to carry out
        failed = isinstance(result, ToolMessage) and result.status == "error"
        text = readable(result, self._limits.max_result_chars)
        return Reply(outcome=Outcome.ERROR if failed else Outcome.OK, text=text)

    def _failure(self, error: BaseException) -> Reply:
        """What the model reads of an exception that is not addressed to it. The operator reads it in the log."""
        if isinstance(error, DeadlineExceeded):
            return self._told(Problem.RUN_OVER)
        if isinstance(error, MainstayError) and error.status < 500:
            return self._told(Problem.DECLINED, message=error.message[:MAX_DETAIL_CHARS])
        logger.error("the tool %s failed: %s", self._name, type(error).__name__, exc_info=_loggable(error))
        if isinstance(error, TimeoutError):
            return self._told(Problem.GAVE_UP)
        store_or_model = isinstance(error, MainstayError) and error.status > 500
        return self._told(Problem.UNREACHABLE if store_or_model or isinstance(error, OSError) else Problem.BROKEN)

    def _told(self, problem: Problem, *, abandoned: bool = False, **facts: object) -> Reply:
        reply = told(problem, abandoned=abandoned, name=self._name, **facts)
        if self._has_effect and problem in _CUT_OFF:
            return replace(reply, text=told(Problem.UNCERTAIN, name=self._name).text)
        return reply


def wrong_arguments(tool: BaseTool, arguments: Mapping[str, Any]) -> str | None:
    """Return what is wrong with arguments, None where nothing is, or where the tool does not say what it takes."""
    schema = tool.tool_call_schema
    if not isinstance(schema, type) or not issubclass(schema, BaseModel):
        return None
    try:
        schema.model_validate(arguments)
    except ValidationError as error:
        return _described(error)
    return None


def _seen(task: "asyncio.Task[Reply]") -> None:
    """Look at how an attempt ended, though nobody waits for it any more: asyncio would complain."""
    if not task.cancelled():
        task.exception()


def _described(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    described = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}" for item in details[:5])
    return described[:MAX_DETAIL_CHARS]


def _message_of(error: BaseException) -> str:
    """The text that an exception was given, "" where it was given none. `str` of it could cost anything, and fail."""
    given: object = error
    for _ in range(3):  # an exception is often given another one for its text
        if not isinstance(given, BaseException):
            break
        given = given.args[0] if given.args else ""
    return given if isinstance(given, str) else ""


def _loggable(error: BaseException) -> BaseException | None:
    """The exception where it can be printed at a bounded cost: whole answers of servers have been raised as messages."""
    chars = sum(len(given) for given in error.args if isinstance(given, Sized))
    if isinstance(error, ValidationError):
        chars += error.error_count() * CHARS_PER_DETAIL
    return error if chars <= MAX_LOGGED_CHARS else None
