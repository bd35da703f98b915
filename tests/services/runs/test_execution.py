"""How an attempt begins and what is made of how it ended."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.errors import ModelServerError, RunSuperseded
from services.events import RunCancelled, RunCompleted, RunFailed, RunInterrupted, RunRestarted, RunStarted
from services.guardrails.screen.output import OutputScreen
from services.llm.gateway import Gateway
from services.runs.buffer import EventBuffer
from services.runs.deadline import Deadline
from services.runs.execution import Execution, opening
from services.runs.log_writer import LogPolicy, LogWriter
from services.runs.run_spans import RunSpan
from services.runs.types import GraphResult
from services.telemetry.tracing import NOT_TRACING
from services.types import Claim, EventId, Interruption, Message, OnDisconnect, Progress, RunStatus, Usage
from tests.services.runs.fakes import FakeOwnedRuns, a_run

SAID = Progress(event_id=EventId(attempt=1, seq=4), usage=Usage(output_tokens=3, model_calls=1), said="so far")
ANSWER = GraphResult(messages=(Message(role="assistant", content="hi"),), finish_reason="length")


def an_execution(work: Callable[[], Any], progress: Progress | None = None, **changes: Any) -> Execution:
    claim = Claim(run=a_run(attempt=1, **changes), remaining_s=60.0, progress=progress)
    buffer = EventBuffer(attempt=1, window_s=lambda: 0.0, max_chars=1_000)
    writer = LogWriter(FakeOwnedRuns(), LogPolicy(), refused=lambda *_: None)
    execution = Execution(
        claim=claim,
        buffer=buffer,
        log=writer.open(claim.fence, buffer),
        model=Gateway([]).bind(buffer, Deadline.after(60.0), progress=progress),
        screen=OutputScreen().open(claim.run, {}, lambda _: None),
        prompts={},
        started_at=0.0,
        span=RunSpan.begin(NOT_TRACING, claim),
    )
    execution.work = asyncio.create_task(work())
    return execution


async def returns() -> GraphResult:
    return ANSWER


async def hangs() -> GraphResult:
    await asyncio.Event().wait()
    raise AssertionError


async def fails() -> GraphResult:
    raise ModelServerError("503")


async def ended(execution: Execution) -> Execution:
    await asyncio.wait([execution.work])
    return execution


@pytest.mark.parametrize(
    ("attempt", "progress", "kinds"),
    [
        (1, None, [RunStarted]),
        (2, None, [RunRestarted, RunStarted]),
        (3, SAID, [RunRestarted]),
    ],
)
def test_how_an_attempt_begins(attempt: int, progress: Progress | None, kinds: list[type]) -> None:
    """The first one starts the run; a later one says first how much of what was said is kept."""
    run = a_run(attempt=attempt)
    events = opening(Claim(run=run, remaining_s=1.0, progress=progress))
    assert [type(event) for event in events] == kinds
    if attempt > 1:
        assert events[0] == RunRestarted(attempt=attempt, keep=progress.event_id if progress else None)
    if isinstance(events[-1], RunStarted):
        assert (events[-1].run_id, events[-1].attempt) == (run.id, attempt)


async def test_an_answer() -> None:
    """The graph's messages and reason are the outcome's, and the event has the reason."""
    execution = await ended(an_execution(returns))
    outcome = execution.outcome(None)
    assert (outcome.status, outcome.messages, outcome.finish_reason) == (RunStatus.COMPLETED, ANSWER.messages, "length")
    assert execution.terminal(outcome, 2.0) == RunCompleted(finish_reason="length", usage=Usage(), duration_s=2.0)


async def test_a_question() -> None:
    """It is neither an answer nor a failure."""
    questions = (Interruption(id="q", value={"n": 1}),)

    async def asks() -> GraphResult:
        return GraphResult(messages=ANSWER.messages, interrupts=questions)

    execution = await ended(an_execution(asks))
    outcome = execution.outcome(None)
    assert (outcome.status, outcome.interrupts, outcome.finish_reason) == (RunStatus.INTERRUPTED, questions, None)
    assert outcome.messages == ANSWER.messages
    assert isinstance(execution.terminal(outcome, 1.0), RunInterrupted)


@pytest.mark.parametrize("progress", [None, SAID])
async def test_a_failure_keeps_what_was_said(progress: Progress | None) -> None:
    """Also what earlier attempts had said before the checkpoint; with nothing said it is not partial."""
    execution = await ended(an_execution(fails, progress))
    error = execution.work.exception()
    assert isinstance(error, ModelServerError)
    outcome = execution.outcome(error)
    assert outcome.status is RunStatus.FAILED
    assert [message.content for message in outcome.messages] == ([progress.said] if progress else [])
    assert outcome.usage == (progress.usage if progress else Usage())
    event = execution.terminal(outcome, 1.0)
    assert isinstance(event, RunFailed)
    assert event.partial == (progress is not None)


async def test_a_cancellation_has_the_first_reason() -> None:
    """It keeps what was said; a second wish changes nothing."""
    execution = an_execution(hangs, SAID)
    execution.stop("first")
    execution.stop("second")
    await ended(execution)
    outcome = execution.outcome(None)
    assert (outcome.status, outcome.failure) == (RunStatus.CANCELLED, None)
    assert [message.content for message in outcome.messages] == ["so far"]
    event = execution.terminal(outcome, 1.0)
    assert isinstance(event, RunCancelled)
    assert event.reason == "first"
    assert not execution.cut_off


async def test_what_is_stopped_as_failed_has_failed() -> None:
    """Whoever stops it says what it failed with."""
    execution = an_execution(hangs)
    execution.fail(RunSuperseded("taken over"))
    outcome = (await ended(execution)).outcome(None)
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.code) == (RunStatus.FAILED, "run_superseded")


async def ends_all_the_same() -> GraphResult:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return ANSWER
    raise AssertionError


@pytest.mark.parametrize(("work", "cut_off"), [(returns, False), (ends_all_the_same, False), (hangs, True)])
async def test_only_what_has_not_ended_is_given_up(work: Callable[[], Any], cut_off: bool) -> None:
    """A run that has come to its end is not executed again elsewhere; nor is one that somebody had stopped."""
    execution = an_execution(work)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    execution.give_up()
    assert (await ended(execution)).cut_off == cut_off
    stopped = an_execution(hangs)
    stopped.stop("client_disconnected")
    stopped.give_up()
    assert not (await ended(stopped)).cut_off


@pytest.mark.parametrize(
    ("changes", "needs"),
    [({}, True), ({"on_disconnect": OnDisconnect.CONTINUE}, False), ({"background": True}, False)],
)
async def test_who_needs_a_reader(changes: dict[str, Any], needs: bool) -> None:
    """A run in the background has none, whatever its policy."""
    assert (await ended(an_execution(returns, **changes))).needs_a_reader == needs
