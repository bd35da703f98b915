"""The run engine: one terminal event whatever happens, stopping, recording."""

import asyncio

import pytest
from langchain_core.messages import AIMessage

from services.errors import AgentLost, ModelServerError, NotFound, RunSuperseded, StoreUnavailable
from services.events import RunCancelled, RunCompleted, RunFailed, RunInterrupted, RunStarted, TextDelta
from services.llm.types import ModelCall, TextSink
from services.runs.types import GraphResult, RunContext
from services.types import Interruption, Message, RunOutcome, RunStatus, Usage
from tests.services.runs.engine_world import TOOL, World, answer, ask_model, read_until_text, rest
from tests.services.runs.fakes import a_run
from tests.services.runs.turns import some_turns, until


async def test_a_run_from_start_to_end() -> None:
    """RunStarted first, the text, one terminal event last; the outcome is stored with the log, and observed."""
    world = World(answer)
    events = await world.events()
    assert [type(event) for event in events] == [RunStarted, TextDelta, RunCompleted]
    assert world.logged == events
    assert world.outcome.status is RunStatus.COMPLETED
    assert world.outcome.messages == (Message(role="assistant", content="hi"),)
    [(run, _, times)] = world.observer.ended
    assert run.id == world.run.id
    assert times.first_text_s is not None
    assert 0 <= times.first_text_s <= times.duration_s
    assert (world.engine.active, list(world.engine.held)) == (0, [])


@pytest.mark.parametrize("error", [None, ModelServerError("503")], ids=["completed", "failed"])
async def test_an_outcome_names_the_prompts_that_it_began_with(error: ModelServerError | None) -> None:
    """Whatever prompts are in force when it ends, and however it ends."""

    async def outlive(context: RunContext) -> GraphResult:
        world.prompt_version = "2"
        if error is not None:
            raise error
        return await answer(context)

    world = World(outlive)
    await world.events()
    assert world.outcome.prompt_version == "react 1"


async def test_the_outcome_is_stored_before_the_terminal_event() -> None:
    """Nobody is told of an end that is not committed."""
    world = World(answer)
    async with world.batches() as batches:
        async for batch in batches:
            assert not batch.terminal or world.run.id in world.runs.outcomes


async def test_an_unknown_run_is_refused_before_the_first_event() -> None:
    """A run that is not pending raises, and nothing is executed."""
    world = World(answer)
    world.runs.runs.clear()
    with pytest.raises(NotFound):
        await world.events()


@pytest.mark.parametrize(
    ("error", "code"), [(ModelServerError("503"), "model_server_error"), (ZeroDivisionError(), "internal_error")]
)
async def test_a_failure_is_one_event_and_is_stored(error: Exception, code: str) -> None:
    """A failing model keeps its code; a bug in a node becomes internal_error, without its details."""

    async def fail(context: RunContext) -> GraphResult:
        raise error

    world = World(fail)
    *_, last = await world.events()
    assert isinstance(last, RunFailed)
    assert (last.failure.code, last.partial) == (code, False)
    assert world.outcome.failure == last.failure


async def test_a_failure_after_text_is_marked_partial_and_the_text_is_kept() -> None:
    """What was shown is stored, and the client is told that it is not the whole answer."""

    async def break_off(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.text("half an ans")
        raise ModelServerError("gone")

    world = World(ask_model)
    world.provider.script = break_off
    *_, last = await world.events()
    assert isinstance(last, RunFailed)
    assert last.partial
    assert world.outcome.messages == (Message(role="assistant", content="half an ans"),)
    assert world.outcome.usage.estimated


async def test_a_turn_that_ends_with_a_question_is_interrupted() -> None:
    """The questions are in the outcome, in the last event and in the log, and there is no reason for having finished."""
    question = Interruption(id="q1", value={"name": "pay"})

    async def ask(context: RunContext) -> GraphResult:
        return GraphResult(messages=(), interrupts=(question,))

    world = World(ask)
    *_, last = await world.events()
    assert isinstance(last, RunInterrupted)
    assert last.interrupts == (question,)
    assert (world.outcome.status, world.outcome.interrupts) == (RunStatus.INTERRUPTED, (question,))
    assert world.outcome.finish_reason is None
    assert world.logged[-1] == last


async def test_a_stop_ends_the_model_and_bills_what_was_said() -> None:
    """A cancelled run ends at once, with the tokens already produced and the partial text on record."""
    world = World(ask_model)
    async with world.batches() as batches:
        await read_until_text(batches)
        world.engine.stop(world.run.id, "client_disconnected")
        world.engine.stop(world.run.id, "somebody else's reason")
        *_, last = await rest(batches)
    assert world.closed.is_set()
    assert isinstance(last, RunCancelled)
    assert last.reason == "client_disconnected"
    assert last.usage.output_tokens == 4
    assert world.outcome.status is RunStatus.CANCELLED
    assert world.outcome.messages == (Message(role="assistant", content="one two three "),)


async def test_a_stop_of_an_unknown_run_does_nothing() -> None:
    """Another replica may have the run by now."""
    world = World(ask_model)
    async with world.batches() as batches:
        await read_until_text(batches)
        world.engine.stop(a_run().id, "client_disconnected")
        await some_turns()
        assert not world.closed.is_set()


async def test_a_stop_before_the_graphs_first_step_ends_the_run() -> None:
    """A run whose task was cancelled before it began is recorded and ends like any other."""
    world = World(ask_model)
    async with world.batches() as batches:
        first = asyncio.ensure_future(anext(batches))
        await until(lambda: world.engine.active)
        world.engine.stop(world.run.id, "client_disconnected")
        *_, last = [*(await first).events, *await rest(batches)]
    assert isinstance(last, RunCancelled)
    assert world.outcome.status is RunStatus.CANCELLED
    assert (world.engine.active, world.engine.detached) == (0, 0)


async def test_the_deadline_ends_a_run() -> None:
    """A run that takes longer than its ticket allows fails with deadline_exceeded."""
    world = World(ask_model)
    async with world.batches(remaining_s=0.01) as batches:
        *_, last = await rest(batches)
    assert isinstance(last, RunFailed)
    assert last.failure.code == "deadline_exceeded"
    assert world.closed.is_set()


async def test_a_nodes_own_timeout_is_not_the_runs() -> None:
    """A TimeoutError that a node raises is its bug, not the run's deadline."""

    async def impatient(context: RunContext) -> GraphResult:
        raise TimeoutError

    *_, last = await World(impatient).events()
    assert isinstance(last, RunFailed)
    assert last.failure.code == "internal_error"


async def test_an_end_waits_for_a_store_that_is_restarted() -> None:
    """The reader is told what is stored, a moment later."""
    world = World(answer)
    world.runs.finish_failures = [StoreUnavailable("down"), StoreUnavailable("still down")]
    events = await world.events()
    assert isinstance(events[-1], RunCompleted)
    assert world.logged == events
    assert world.slept == [0.5, 0.5]


async def test_a_store_that_stays_down_is_told_and_tried_again() -> None:
    """The run has failed: so its reader is told, and so it is stored, with its log, once the store is back."""
    world = World(answer, record_tries=2)
    world.runs.finish_failures = [StoreUnavailable("down")] * 4
    events = await world.events()
    last = events[-1]
    assert isinstance(last, RunFailed)
    assert (last.failure.code, last.failure.retryable) == ("store_unavailable", False)
    assert list(world.engine.held) == [world.run.id]
    await world.runs.finished.wait()
    assert world.outcome.failure == last.failure
    assert world.logged == events
    assert world.slept == [0.5] * 4
    await until(lambda: not world.engine.held)


async def test_an_end_that_cannot_be_stored_as_it_is_is_still_an_end() -> None:
    """A bug in what is to be stored fails the run, with a bare record; the reader is sent there, for the log is cut off."""
    world = World(answer)
    world.runs.finish_failures = [OverflowError("value out of range")]
    with pytest.raises(AgentLost):
        await world.events()
    assert world.outcome.status is RunStatus.FAILED
    assert world.outcome.failure is not None
    assert world.outcome.failure.code == "internal_error"
    assert world.engine.active == 0
    [(_, observed, _)] = world.observer.ended
    assert observed == world.outcome


async def test_a_run_that_somebody_else_has_ended_is_not_told_to_have_completed() -> None:
    """What this attempt had to say then is in no log: the reader is sent to the record."""
    world = World(answer)
    async with world.batches() as batches:
        await anext(batches)
        world.runs.outcomes[world.run.id] = RunOutcome(status=RunStatus.CANCELLED, messages=(), usage=Usage())
        with pytest.raises(AgentLost):
            await rest(batches)
    [(_, observed, _)] = world.observer.ended
    assert observed.status is RunStatus.CANCELLED


async def test_a_bug_in_recording_does_not_leave_the_reader_waiting() -> None:
    """Not for the end, and not for an event that is being stored; the run is no longer counted."""

    async def act(context: RunContext) -> GraphResult:
        context.events.emit(TOOL)
        return await answer(context)

    class Broken:
        def run_ended(self, *_: object) -> None:
            raise ZeroDivisionError

    world = World(act)
    world.runs.hold = asyncio.Event()
    world.engine._observers = (Broken(),)
    # What the loop says of a task whose error nobody takes is expected here.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    with pytest.raises(AgentLost) as caught:
        await world.events()
    assert not isinstance(caught.value, RunSuperseded)
    assert world.engine.active == 0
    world.runs.hold.set()


async def test_a_graph_sees_its_prompts_and_run() -> None:
    """The context carries the live prompts of the run's own graph, and the claim that its writes are fenced by."""
    seen = []

    async def look(context: RunContext) -> GraphResult:
        seen.append((context.run.id, dict(context.prompts), context.claim.fence.attempt))
        return await answer(context)

    world = World(look)
    await world.events()
    assert seen == [(world.run.id, {"system": "prompt of react"}, 1)]
