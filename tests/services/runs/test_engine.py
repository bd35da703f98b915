"""The run engine: one terminal event whatever happens, detaching, cancelling, recording."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any
from uuid import UUID

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from services.errors import ModelServerError, NotFound, StoreUnavailable
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.runs.deadline import OUT_OF_TIME
from services.runs.engine import EngineLimits, RunEngine
from services.runs.types import GraphResult, RunContext
from services.types import (
    EventBatch,
    Message,
    OnDisconnect,
    Run,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunOutcome,
    RunStarted,
    RunStatus,
    RunTicket,
    TextDelta,
    Usage,
)
from tests.services.runs.fakes import FakeClock, FakeGraph, FakeGuard, FakeObserver, FakeProvider, FakeRunStore, a_run

CALL = ModelCall(messages=[HumanMessage("hello")])


class World:
    """An engine on fakes: `script` is the graph, `speak` the model."""

    def __init__(self, script: Callable[[RunContext], Any], *, run: Run | None = None, **limits: Any) -> None:
        self.run = run or a_run()
        self.store = FakeRunStore(self.run)
        self.observer = FakeObserver()
        self.speaking = asyncio.Event()
        self.closed = asyncio.Event()
        self.clock = FakeClock()
        self.provider = FakeProvider(self.speak)
        self.engine = RunEngine(
            runs=self.store,
            graphs={"react": FakeGraph(script)},
            gateways={"react": Gateway([Route.of(self.provider)])},
            guard=FakeGuard(),
            observer=self.observer,
            prompts=lambda graph: {"system": f"prompt of {graph}"},
            limits=EngineLimits(**limits),
            sleep=self.clock.sleep,
        )

    async def speak(self, call: ModelCall, sink: TextSink) -> AIMessage:
        """Say three words, then wait for ever."""
        sink.text("one two three ")
        self.speaking.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.closed.set()
        raise AssertionError

    def batches(self) -> Any:
        return aclosing(self.engine.execute(RunTicket(run_id=self.run.id, remaining_s=60.0)))

    async def events(self) -> list[RunEvent]:
        async with self.batches() as batches:
            return [event async for batch in batches for event in batch.events]

    @property
    def outcome(self) -> Any:
        return self.store.outcomes[self.run.id]


async def answer(context: RunContext) -> GraphResult:
    context.model.sink.text("hi")  # type: ignore[attr-defined]
    return GraphResult(messages=(Message(role="assistant", content="hi"),), finish_reason="stop")


async def ask_model(context: RunContext) -> GraphResult:
    await context.model.generate(CALL)
    raise AssertionError


async def read_until_text(batches: Any) -> EventBatch:
    async for batch in batches:
        if any(isinstance(event, TextDelta) for event in batch.events):
            return batch
    raise AssertionError("no text came")


async def test_a_run_from_start_to_end() -> None:
    """RunStarted first, the text, one terminal event last; the outcome is stored and observed."""
    world = World(answer)
    events = await world.events()
    assert [type(event) for event in events] == [RunStarted, TextDelta, RunCompleted]
    assert world.outcome.status is RunStatus.COMPLETED
    assert world.outcome.messages == (Message(role="assistant", content="hi"),)
    [(run, _, times)] = world.observer.ended
    assert run.id == world.run.id
    assert times.first_text_s is not None
    assert 0 <= times.first_text_s <= times.duration_s
    assert world.engine.active == 0


async def test_the_outcome_is_stored_before_the_terminal_event() -> None:
    """Nobody is told of an end that is not committed."""
    world = World(answer)
    async with world.batches() as batches:
        async for batch in batches:
            assert not batch.terminal or world.run.id in world.store.outcomes


async def test_an_unknown_run_is_refused_before_the_first_event() -> None:
    """A run that is not pending raises, and nothing is executed."""
    world = World(answer)
    world.store.runs.clear()
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
    assert world.outcome.failure.code == code


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


async def test_cancel_stops_the_model_and_bills_what_was_said() -> None:
    """An explicit cancel ends the run at once, with the tokens already produced and the partial text on record."""
    world = World(ask_model)
    async with world.batches() as batches:
        await read_until_text(batches)
        await world.engine.cancel(world.run.id, "client_disconnected")
        assert world.closed.is_set()
        *_, last = [event async for batch in batches for event in batch.events]
    assert isinstance(last, RunCancelled)
    assert last.reason == "client_disconnected"
    assert last.usage.output_tokens == 4
    assert world.outcome.status is RunStatus.CANCELLED
    assert world.outcome.messages == (Message(role="assistant", content="one two three "),)


async def test_cancel_of_an_unknown_run_does_nothing() -> None:
    """A cancel goes to every replica; those that do not have the run ignore it."""
    world = World(answer)
    await world.engine.cancel(a_run().id, "client_disconnected")


async def test_losing_the_reader_is_a_detach_until_the_grace_ends() -> None:
    """Without a word from the ingress the run goes on, is counted as detached, and ends as orphaned."""
    world = World(ask_model, orphan_grace_s=0.0)
    async with world.batches() as batches:
        await read_until_text(batches)
    assert world.engine.detached == 1
    await world.closed.wait()
    await world.observer.told.wait()
    assert world.outcome.status is RunStatus.CANCELLED
    assert world.engine.detached == 0


async def test_a_run_that_is_to_continue_outlives_its_reader() -> None:
    """With `on_disconnect: continue` a detached run is left alone and its answer is stored."""
    go_on = asyncio.Event()

    async def slow(context: RunContext) -> GraphResult:
        context.model.sink.text("beginning")  # type: ignore[attr-defined]
        await go_on.wait()
        return await answer(context)

    world = World(slow, run=a_run(on_disconnect=OnDisconnect.CONTINUE), orphan_grace_s=0.0)
    async with world.batches() as batches:
        await read_until_text(batches)
    go_on.set()
    await world.store.finished.wait()
    assert world.outcome.status is RunStatus.COMPLETED


async def test_the_deadline_ends_a_run() -> None:
    """A run that takes longer than its ticket allows fails with deadline_exceeded."""
    world = World(ask_model)
    ticket = RunTicket(run_id=world.run.id, remaining_s=0.01)
    async with aclosing(world.engine.execute(ticket)) as batches:
        *_, last = [event async for batch in batches for event in batch.events]
    assert isinstance(last, RunFailed)
    assert last.failure.code == "deadline_exceeded"
    assert world.closed.is_set()


async def test_a_store_that_is_down_is_told_and_tried_again() -> None:
    """The client learns that its answer is not saved; the record is written once the store is back."""
    world = World(answer)
    world.store.failures = [StoreUnavailable("down"), StoreUnavailable("still down")]
    *_, last = await world.events()
    assert isinstance(last, RunFailed)
    assert last.failure.code == "store_unavailable"
    await world.store.finished.wait()
    assert world.outcome.status is RunStatus.COMPLETED
    assert world.clock.slept == [1.0, 1.0]


async def test_drain_waits_and_then_stops() -> None:
    """A replica that stops ends the runs that do not end in time: a failure for their readers, who may try again."""
    world = World(ask_model)
    async with world.batches() as batches:
        await read_until_text(batches)
        await world.engine.drain(timeout_s=0.0)
        *_, last = [event async for batch in batches for event in batch.events]
    assert isinstance(last, RunFailed)
    assert (last.failure.code, last.failure.retryable) == ("agent_lost", True)
    assert world.outcome.messages == (Message(role="assistant", content="one two three "),)


async def test_a_run_that_is_out_of_time_has_failed() -> None:
    """When it is the ingress that says so, the record and the reader hear of a time limit, not of a cancellation."""
    world = World(ask_model)
    async with world.batches() as batches:
        await read_until_text(batches)
        await world.engine.cancel(world.run.id, OUT_OF_TIME)
        *_, last = [event async for batch in batches for event in batch.events]
    assert isinstance(last, RunFailed)
    assert (last.failure.code, last.partial) == ("deadline_exceeded", True)
    assert world.outcome.status is RunStatus.FAILED


async def test_drain_tries_unstored_ends_once_more() -> None:
    """A replica that stops does not wait for its next try: what the store now takes is stored."""
    world = World(answer)
    pause = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await pause.wait()

    world.engine._recorder._sleep = sleep
    world.store.failures = [StoreUnavailable("down")]
    await world.events()
    assert world.store.outcomes == {}
    await world.engine.drain(timeout_s=0.0)
    assert world.outcome.status is RunStatus.COMPLETED
    pause.set()


async def test_a_cancel_before_the_graphs_first_step_ends_the_run() -> None:
    """A run whose task was cancelled before it began is recorded and ends like any other."""
    world = World(ask_model)
    async with world.batches() as batches:
        first = asyncio.ensure_future(anext(batches))
        while not world.engine.active:  # noqa: ASYNC110  # turns of the loop until the run is there
            await asyncio.sleep(0)
        await world.engine.cancel(world.run.id, "client_disconnected")
        *_, last = [*(await first).events, *[event async for batch in batches for event in batch.events]]
    assert isinstance(last, RunCancelled)
    assert world.outcome.status is RunStatus.CANCELLED
    assert (world.engine.active, world.engine.detached) == (0, 0)


async def test_an_end_that_cannot_be_stored_as_it_is_is_still_an_end() -> None:
    """A bug in what is to be stored fails the run, with a bare record and one terminal event; the run does not hang."""
    world = World(answer)
    world.store.failures = [OverflowError("value out of range")]  # type: ignore[list-item]
    *_, last = await world.events()
    assert isinstance(last, RunFailed)
    assert last.failure.code == "internal_error"
    assert world.outcome.status is RunStatus.FAILED
    assert world.engine.active == 0


async def test_what_is_stored_is_what_is_told() -> None:
    """A run that somebody else closed first is not told to have completed."""
    world = World(answer)
    world.store.outcomes[world.run.id] = RunOutcome(status=RunStatus.CANCELLED, messages=(), usage=Usage())

    async def start(_run_id: UUID) -> Run:
        return world.run

    world.store.start = start  # type: ignore[method-assign]
    *_, last = await world.events()
    assert isinstance(last, RunCancelled)


async def test_a_nodes_own_timeout_is_not_the_runs() -> None:
    """A TimeoutError that a node raises is its bug, not the run's deadline."""

    async def impatient(context: RunContext) -> GraphResult:
        raise TimeoutError

    *_, last = await World(impatient).events()
    assert isinstance(last, RunFailed)
    assert last.failure.code == "internal_error"


async def test_the_window_widens_with_the_streams() -> None:
    """One replica spends `flushes_per_s` on batches, whatever the number of streams, up to the widest window."""
    world = World(ask_model, flushes_per_s=20.0, max_flush_window_s=0.05)
    assert world.engine.window_s() == 0.0
    async with world.batches() as batches:
        await read_until_text(batches)
        assert world.engine.window_s() == pytest.approx(0.05)
        await world.engine.cancel(world.run.id, "test")


async def test_a_graph_sees_its_prompts_and_run() -> None:
    """The context carries the live prompts of the run's own graph."""
    seen = []

    async def look(context: RunContext) -> GraphResult:
        seen.append((context.run.id, dict(context.prompts)))
        return await answer(context)

    world = World(look)
    await world.events()
    assert seen == [(world.run.id, {"system": "prompt of react"})]
