"""Runs that outlive their owners, as the replicas see it that lose them and that take them over."""

import asyncio

import pytest
from langchain_core.messages import AIMessage

from services.errors import RunSuperseded
from services.events import RunCancelled, RunCompleted, RunFailed, RunRestarted, RunStarted
from services.llm.types import ModelCall, TextSink
from services.runs.graph_work import MAX_CRASHES
from services.runs.types import GraphResult, RunContext
from services.telemetry.trace_context import attempt_span_id
from services.types import EventId, Message, OnDisconnect, Progress, RunStatus, Usage
from tests.services.runs.engine_world import TOOL, World, answer, ask_model, read_until_text, rest, say
from tests.services.runs.fakes import a_run
from tests.services.runs.turns import some_turns, until
from tests.services.telemetry.traced import Kept, a_tracer

ASKED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

KEPT = Progress(
    event_id=EventId(attempt=1, seq=3), usage=Usage(input_tokens=9, output_tokens=2, model_calls=1), said="half "
)


def lost_once(world: World) -> None:
    """An owner has taken the run, and was lost."""
    world.runs.take_over(world.run.id)


@pytest.mark.parametrize(
    ("progress", "opening"),
    [
        (KEPT, [RunRestarted(attempt=2, keep=KEPT.event_id)]),
        (None, [RunRestarted(attempt=2, keep=None), RunStarted]),
    ],
)
async def test_a_take_over_begins_with_what_is_void(progress: Progress | None, opening: list[object]) -> None:
    """Readers of the log hear at once, before the run says anything, what they are to drop, and whether it begins anew."""
    world = World(ask_model)
    lost_once(world)
    world.provider.script = hang
    world.engine.adopt(world.runs.take_over(world.run.id, progress=progress))
    await some_turns()
    assert [type(event) if opening[n] is RunStarted else event for n, event in enumerate(world.logged)] == opening
    assert (world.engine.active, world.engine.detached) == (1, 1)


async def hang(call: ModelCall, sink: TextSink) -> AIMessage:
    await asyncio.Event().wait()
    raise AssertionError


async def test_an_adopted_run_goes_on_with_what_was_said_and_spent() -> None:
    """Its bill has the usage up to the checkpoint, and if it is cut off the answer so far is all that it said."""
    world = World(ask_model)
    lost_once(world)
    watch = world.engine.adopt(world.runs.take_over(world.run.id, progress=KEPT))
    await world.speaking.wait()
    world.engine.stop(world.run.id, "enough")
    await watch
    assert world.outcome.messages == (Message(role="assistant", content="half one two three "),)
    assert (world.outcome.usage.model_calls, world.outcome.usage.output_tokens) == (2, 2 + 4)
    last = world.logged[-1]
    assert isinstance(last, RunCancelled)
    assert last.usage == world.outcome.usage


async def test_an_adopted_run_needs_a_reader_like_any_other() -> None:
    """If nobody reads its log within the grace it ends; the ingress that its client reads from says so in time."""
    world = World(ask_model, orphan_grace_s=5.0)
    lost_once(world)
    watch = world.engine.adopt(world.runs.take_over(world.run.id))
    await world.speaking.wait()
    world.time.advance(5.0)
    await watch
    assert world.outcome.status is RunStatus.CANCELLED


@pytest.mark.parametrize("crashes", [MAX_CRASHES - 1, MAX_CRASHES])
async def test_a_run_that_kills_its_owners_is_given_up(crashes: int) -> None:
    """After so many owners lost without progress it is not executed again, and says why."""
    world = World(answer)
    for _ in range(crashes):
        lost_once(world)
    await world.engine.adopt(world.runs.take_over(world.run.id, crashes=crashes))
    if crashes < MAX_CRASHES:
        assert isinstance(world.logged[-1], RunCompleted)
        return
    assert world.outcome.failure is not None
    assert (world.outcome.failure.code, world.outcome.failure.retryable) == ("run_quarantined", False)
    assert isinstance(world.logged[-1], RunFailed)


async def test_a_superseded_run_ends_here_without_an_end() -> None:
    """The log refuses it, its work is cancelled, its reader is sent on, and neither record nor observer hear of it."""
    world = World(ask_model, run=a_run(on_disconnect=OnDisconnect.CONTINUE))
    async with world.batches() as batches:
        await read_until_text(batches)
        lost_once(world)
        world.time.advance(0.15)
        with pytest.raises(RunSuperseded):
            await rest(batches)
    await until(lambda: not world.engine.active)
    assert world.closed.is_set()
    assert (world.runs.outcomes, world.observer.ended, world.logged) == ({}, [], [])


async def test_what_a_superseded_run_does_is_not_shown() -> None:
    """An event that the log has to hold first, and refuses, reaches nobody."""
    go_on = asyncio.Event()

    async def act(context: RunContext) -> GraphResult:
        say(context, "text")
        await go_on.wait()
        context.events.emit(TOOL)
        await asyncio.Event().wait()
        raise AssertionError

    world = World(act)
    async with world.batches() as batches:
        await read_until_text(batches)
        lost_once(world)
        go_on.set()
        with pytest.raises(RunSuperseded):
            await rest(batches)
    assert world.logged == []


async def test_a_run_that_comes_back_to_a_replica_that_had_lost_it_ends_its_earlier_attempt() -> None:
    """Taken over by a replica that was lost too, before the first noticed anything: only the newest attempt goes on."""
    world = World(ask_model)
    async with world.batches() as batches:
        await read_until_text(batches)
        lost_once(world)
        watch = world.engine.adopt(world.runs.take_over(world.run.id))
        with pytest.raises(RunSuperseded):
            await rest(batches)
        await until(lambda: world.engine.active == 1)
        world.engine.stop(world.run.id, "enough")
        await watch
    assert {event_id.attempt for event_id, _ in world.runs.log(world.run.id)} == {3}
    assert isinstance(world.logged[-1], RunCancelled)


async def test_what_an_earlier_attempt_has_left_to_store_does_not_get_into_the_way() -> None:
    """It takes long to stop, and what it has said is due: that must not have the newest attempt refused along with it."""
    other = a_run(on_disconnect=OnDisconnect.CONTINUE)

    async def stops_slowly(context: RunContext) -> GraphResult:
        if context.run.id == other.id:
            context.events.emit(TOOL)
        say(context, "words")
        try:
            await asyncio.Event().wait()
        finally:
            await world.speaking.wait()
        raise AssertionError

    world = World(stops_slowly, run=a_run(on_disconnect=OnDisconnect.CONTINUE))
    world.runs.runs[other.id] = other
    hold = world.runs.hold = asyncio.Event()
    world.engine.adopt(world.runs.take_over(other.id))
    await until(lambda: world.runs.sent)
    async with world.batches() as batches:
        await read_until_text(batches)
        lost_once(world)
        world.time.advance(0.3)
        watch = world.engine.adopt(world.runs.take_over(world.run.id))
        hold.set()
        await some_turns()
        world.speaking.set()
        await until(lambda: world.engine.active == 2)
        world.engine.stop(world.run.id, "enough")
        await watch
    assert isinstance(world.logged[-1], RunCancelled)


async def test_a_run_goes_on_in_its_trace() -> None:
    """Each attempt is a span below the request that asked for the run; the one that was lost ends as what it is."""
    kept = Kept()
    world = World(ask_model, run=a_run(traceparent=ASKED))
    world.engine._tracer = a_tracer("agent", kept)
    async with world.batches() as batches:
        await read_until_text(batches)
        world.graphs["react"].script = answer
        await world.engine.adopt(world.runs.take_over(world.run.id))
        with pytest.raises(RunSuperseded):
            await rest(batches)
    first, second = sorted(kept.traces, key=lambda trace: trace.attempt)
    assert (first.attempt, second.attempt) == (1, 2)
    assert {trace.trace_id for trace in kept.traces} == {ASKED[3:35]}
    roots = [trace.spans[0] for trace in (first, second)]
    assert [root.parent_id for root in roots] == [ASKED[36:52]] * 2
    assert [root.id for root in roots] == [attempt_span_id(world.run.id, attempt) for attempt in (1, 2)]
    assert [root.error for root in roots] == [RunSuperseded.code, None]
    [lost_call] = [span for span in first.spans if span.name.startswith("chat")]
    assert lost_call.error == "cancelled"
