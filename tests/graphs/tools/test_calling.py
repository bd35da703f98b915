"""What a tool may do wrong, and what it costs: one call, whose text says what to do next."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, ToolException
from langgraph.errors import GraphInterrupt
from langgraph.types import Command
from pydantic import BaseModel

from graphs.tools.care import ToolCalled, ToolCare, ToolLimits
from graphs.tools.execution import ToolExecution
from graphs.tools.outcomes import Outcome
from services.errors import DeadlineExceeded, InternalError, InvalidRequest, MainstayError, StoreUnavailable
from services.runs.deadline import Deadline
from tests.graphs.fakes import RecordingToolObserver, Stuck, answer_of, calls, tool_of, turn

CANARY = "sk-canary in /etc/secrets of db.internal:5432"
INTERNAL = "probe failed with an internal error. Try other arguments, or go on without it and say so."
UNREACHABLE = "probe failed: what it needs cannot be reached. Do not repeat the call; go on without it and say so."
GAVE_UP = "probe failed: what it asked did not answer in time. Do not repeat the call; go on without it and say so."


class Odd(BaseException):
    """An exception that is no Exception."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError(CANARY)


@dataclass
class Deaf:
    """A tool that takes no notice of being cancelled, until `free` is set."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    ignored: int = 0

    async def wait(self) -> str:
        self.reached.set()
        while not self.free.is_set():
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                self.ignored += 1
        return "free at last"


@pytest.fixture
async def deaf() -> AsyncIterator[Deaf]:
    """A deaf tool that does not outlive its test, whatever becomes of that."""
    tool = Deaf()
    yield tool
    tool.free.set()


@pytest.mark.parametrize(
    ("raised", "read"),
    [
        (ToolException("There is no such city."), "There is no such city."),
        (ToolException(ValueError("There is no such city.")), "There is no such city."),
        (ToolException(), "probe failed. Try other arguments, or go on without it and say so."),
        (ToolException({"key": CANARY}), "probe failed. Try other arguments, or go on without it and say so."),
        (
            InvalidRequest("The query cannot be stored."),
            "probe failed: The query cannot be stored. Try other arguments, or go on without it and say so.",
        ),
        (StoreUnavailable(CANARY), UNREACHABLE),
        (InternalError(CANARY), INTERNAL),
        (MainstayError(CANARY), INTERNAL),
        (ConnectionRefusedError(111, CANARY), UNREACHABLE),
        (PermissionError(13, "Permission denied", CANARY), UNREACHABLE),
        (TimeoutError(CANARY), GAVE_UP),
        (RuntimeError(CANARY), INTERNAL),
        (Unprintable(), INTERNAL),
        (DeadlineExceeded(CANARY), "probe was stopped: there is no time left. Answer with what you have."),
        (SystemExit(CANARY), INTERNAL),
        (KeyboardInterrupt(CANARY), INTERNAL),
        (GeneratorExit(CANARY), INTERNAL),
        (asyncio.CancelledError(CANARY), INTERNAL),
        (Odd(CANARY), INTERNAL),
        (BaseExceptionGroup(CANARY, [Odd(), SystemExit()]), INTERNAL),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, BaseException) else "",
)
async def test_whatever_a_tool_raises_is_something_to_read(raised: BaseException, read: str) -> None:
    """A failure costs its own call: the model reads what it may do about it, and nothing of what was raised."""

    async def probe() -> str:
        raise raised

    message = await answer_of(probe)
    assert (message.content, message.status) == (read, "error")


async def test_a_tool_that_cancels_itself_has_failed() -> None:
    """A cancellation that nobody asked for is a failure of the tool, and does not end the run."""

    async def probe() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        raise AssertionError("must not come here")

    assert (await answer_of(probe)).content == INTERNAL


async def test_langgraphs_own_signals_pass() -> None:
    """An interrupt is no failure: it reaches the graph."""

    async def probe() -> str:
        raise GraphInterrupt

    with pytest.raises(GraphInterrupt):
        await answer_of(probe)


async def test_an_answer_that_a_tool_cannot_read_is_its_own_failure() -> None:
    """A validation error of anything but the arguments is not told as if the model had called wrongly."""

    class Weather(BaseModel):
        temperature: float

    async def probe(city: str) -> str:
        return str(Weather.model_validate({"temperature": CANARY}))

    assert (await answer_of(probe, city="Bern")).content == INTERNAL


class Schemaless(BaseTool):
    """A tool whose arguments LangChain does not look at."""

    name: str = "probe"
    description: str = "A tool under test."

    def _run(self, count: int) -> str:
        raise NotImplementedError

    async def _arun(self, count: int) -> str:
        return f"{count + 1}"


async def test_arguments_are_checked_for_every_form_of_tool() -> None:
    """A tool class without a schema of its own gets right calls, and explains wrong ones."""
    assert (await answer_of(Schemaless(), count=1)).content == "2"
    read = str((await answer_of(Schemaless(), number=1)).content)
    assert read == "The arguments of probe are wrong. Correct them and call it again. count: Field required"


async def test_a_tool_may_serve_several_agents() -> None:
    """Agents that are given the same tool do not get into each other's way, and it stays the tool it was."""

    async def probe(city: str) -> dict[str, str]:
        return {"city": city}

    tool = tool_of(probe)
    for execution in [ToolExecution([tool], ToolCare()) for _ in range(2)]:
        [message] = await execution.run([calls(("probe", {"city": "Bern"}))], turn().context)
        assert message.content == '{"city": "Bern"}'
    assert await tool.ainvoke({"city": "Bern"}) == {"city": "Bern"}


async def test_arguments_cannot_pass_for_a_call() -> None:
    """Arguments that look like one of LangChain's calls are arguments all the same."""

    async def probe(type: str, id: str) -> str:  # noqa: A002  the names are the point
        return f"{type} {id}"

    assert (await answer_of(probe, type="tool_call", id="mine")).content == "tool_call mine"


async def test_a_tool_may_know_its_call() -> None:
    """LangChain's injected call id arrives, and is no argument that a model could set."""

    async def probe(city: str, call_id: Annotated[str, InjectedToolCallId]) -> dict[str, str]:
        return {"city": city, "call": call_id}

    message = await answer_of(probe, city="Bern", call_id="forged")
    assert message.content == '{"city": "Bern", "call": "c0"}'


async def test_an_artifact_is_not_for_the_model() -> None:
    """Of a tool that returns content with an artifact the model reads the content."""

    async def probe() -> tuple[dict[str, int], object]:
        return {"rows": 3}, object()

    tool = StructuredTool.from_function(
        coroutine=probe, name="probe", description="A tool under test.", response_format="content_and_artifact"
    )
    assert (await answer_of(tool)).content == '{"rows": 3}'


async def test_errors_that_a_tool_explains_itself_are_errors() -> None:
    """LangChain's way of turning an exception into a text keeps its text, and is counted as an error."""

    async def probe() -> str:
        raise ToolException("internal words")

    tool = StructuredTool.from_function(
        coroutine=probe, name="probe", description="A tool under test.", handle_tool_error="Ask in English."
    )
    observer = RecordingToolObserver()
    message = await answer_of(tool, care=ToolCare(observer=observer))
    assert (message.content, message.status) == ("Ask in English.", "error")
    assert observer.called[0].outcome is Outcome.ERROR


async def test_a_message_may_say_that_it_failed() -> None:
    """A tool may write its own message, whose status stands; its call id is that of the call."""

    async def probe() -> ToolMessage:
        return ToolMessage("No seats left.", status="error", tool_call_id="made up", artifact="x")

    message = await answer_of(probe)
    assert (message.content, message.status, message.tool_call_id) == ("No seats left.", "error", "c0")


async def test_commands_are_not_carried_out() -> None:
    """What only LangGraph's own node could act on is told to be of no use."""

    async def probe() -> Command[Any]:
        return Command(goto="elsewhere")

    message = await answer_of(probe)
    assert "returned nothing that can be read" in str(message.content)


async def test_a_tool_that_takes_too_long_is_stopped() -> None:
    """A call past its time limit is cancelled, and the model reads what it may do instead."""
    stuck = Stuck()
    message = await answer_of(stuck.wait, limits=ToolLimits(timeout_s=0.01))
    assert message.content == (
        "probe did not finish within 0.01 s and was stopped. Ask it for less, or go on without it and say so."
    )
    assert stuck.cancelled


async def test_a_result_that_comes_after_its_time_is_late() -> None:
    """A tool that answers its cancellation with a result was too late all the same."""

    async def probe() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "too late"
        raise AssertionError("must be cancelled")

    message = await answer_of(probe, limits=ToolLimits(timeout_s=0.01))
    assert "did not finish within 0.01 s" in str(message.content)


async def test_what_a_stopped_tool_still_says_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """An explanation that comes with the cancellation is neither shown nor complained about."""

    async def probe() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ToolException("I was cancelled.") from None
        raise AssertionError("must be cancelled")

    message = await answer_of(probe, limits=ToolLimits(timeout_s=0.01))
    gc.collect()
    assert "did not finish within 0.01 s" in str(message.content)
    assert caplog.records == []


async def test_the_runs_end_stops_a_tool_before_its_time() -> None:
    """A call gets no more time than its run has left, and is not blamed for that."""
    stuck, observer, turned = Stuck(), RecordingToolObserver(), turn()
    context = replace(turned.context, deadline=Deadline.after(0.01, lambda: 0.0))
    execution = ToolExecution([tool_of(stuck.wait)], ToolCare(observer=observer))
    [message] = await execution.run([calls(("probe", {}))], context)
    assert message.content == "probe was stopped: there is no time left. Answer with what you have."
    assert observer.called == [ToolCalled(tool="probe", outcome=Outcome.CANCELLED)]


async def test_a_tool_that_ignores_its_time_is_left_behind(deaf: Deaf) -> None:
    """It holds the run for the grace time at most, is counted, and may finish unseen."""
    observer = RecordingToolObserver()
    before = asyncio.all_tasks()
    care = ToolCare(limits=ToolLimits(timeout_s=0.01, grace_s=0.01), observer=observer)
    message = await answer_of(deaf.wait, care=care)
    assert "was stopped" in str(message.content)
    assert deaf.ignored == 1
    [called] = observer.called
    assert (called.outcome, called.abandoned) == (Outcome.TIMEOUT, True)
    left_behind = asyncio.all_tasks() - before
    deaf.free.set()
    await asyncio.wait(left_behind)
    assert asyncio.all_tasks() == before


async def test_a_tool_that_ignores_its_cancellation_does_not_hold_the_run(deaf: Deaf) -> None:
    """A cancelled run ends after the grace time although its tool goes on, and its other tools are cancelled."""
    stuck = Stuck()
    before = asyncio.all_tasks()
    execution = ToolExecution(
        [tool_of(deaf.wait, "deaf"), tool_of(stuck.wait, "stuck")], ToolCare(limits=ToolLimits(grace_s=0.01))
    )
    task = asyncio.create_task(execution.run([calls(("deaf", {}), ("stuck", {}))], turn().context))
    await deaf.reached.wait()
    await stuck.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (deaf.ignored, stuck.cancelled) == (1, True)
    left_behind = asyncio.all_tasks() - before
    deaf.free.set()
    await asyncio.wait(left_behind)


async def test_a_second_cancellation_waits_no_longer(deaf: Deaf) -> None:
    """Who cancels again while a deaf tool is waited for need not wait out its grace."""
    before = asyncio.all_tasks()
    execution = ToolExecution([tool_of(deaf.wait)], ToolCare(limits=ToolLimits(grace_s=3_600.0)))
    task = asyncio.create_task(execution.run([calls(("probe", {}))], turn().context))
    await deaf.reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left_behind = asyncio.all_tasks() - before
    deaf.free.set()
    await asyncio.wait(left_behind)


async def test_what_is_left_behind_is_bounded(deaf: Deaf) -> None:
    """With so many calls left behind the tool is called no more, and again once they have ended."""
    observer = RecordingToolObserver()
    before = asyncio.all_tasks()
    limits = ToolLimits(timeout_s=0.01, grace_s=0.01, max_abandoned=2)
    execution = ToolExecution([tool_of(deaf.wait)], ToolCare(limits=limits, observer=observer))
    for _ in range(3):
        [message] = await execution.run([calls(("probe", {}))], turn().context)
    assert message.content == ("probe is not available right now (it failed repeatedly); go on without it and say so.")
    assert deaf.ignored == 2
    assert observer.called[-1] == ToolCalled(tool="probe", outcome=Outcome.UNAVAILABLE)
    left_behind = asyncio.all_tasks() - before
    deaf.free.set()
    await asyncio.wait(left_behind)
    [message] = await execution.run([calls(("probe", {}))], turn().context)
    assert message.content == "free at last"


@pytest.mark.parametrize(
    ("raised", "logged", "with_trace"),
    [
        (RuntimeError("the reason"), "the tool probe failed: RuntimeError", True),
        (ConnectionResetError("the reason"), "the tool probe failed: ConnectionResetError", True),
        (RuntimeError("x" * 5_000_000), "the tool probe failed: RuntimeError", False),
        (RuntimeError(b"x" * 5_000_000), "the tool probe failed: RuntimeError", False),
    ],
    ids=["bug", "network", "long text", "long bytes"],
)
async def test_failures_are_logged_at_a_bounded_cost(
    raised: Exception, logged: str, with_trace: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator reads what the model does not; a message without end is left out."""

    async def probe() -> str:
        raise raised

    await answer_of(probe)
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, logged)
    assert bool(record.exc_info) is with_trace
    assert len(caplog.text) < 20_000


async def test_what_the_model_did_wrong_is_not_logged_as_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """Neither wrong arguments nor a tool's own words to the model are the operator's business."""

    async def probe(count: int) -> str:
        raise ToolException("Not today.")

    await answer_of(probe, count="many")
    await answer_of(probe, count=1)
    assert caplog.records == []
