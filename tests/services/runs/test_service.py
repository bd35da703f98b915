"""The ingress's side of a run: what is refused before the first event, what passes through, and what a hang-up means."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from services.errors import (
    ContentBlocked,
    GuardrailUnavailable,
    InternalError,
    MainstayError,
    ModelUnavailable,
    Overloaded,
    StoreUnavailable,
    ThreadBusy,
    UnknownModel,
)
from services.events import RunEvent, RunFailed, RunRestarted
from services.guard import Action, Verdict
from services.resilience.priority import Priority
from services.types import CancelAction, OnDisconnect, RunRequest, RunStatus, Usage
from tests.services.runs.ingress_world import ANN, ASK, DONE, HALF, STARTED, Hangs, World, batch, begin, read

CONTINUE = replace(ASK, on_disconnect=OnDisconnect.CONTINUE)
BLOCKED = Verdict(action=Action.BLOCK, rule="injection", message="no")
DECIDED = replace(
    ASK, messages=(), decisions=({"type": "edit", "edited_action": {"name": "f", "args": {"to": ["eve"]}}},)
)


async def test_a_run_is_stored_for_its_owner_and_its_events_pass_through() -> None:
    """The run belongs to the principal, begins a new thread, and every batch arrives as the agent made it."""
    world = World(STARTED, HALF, DONE)
    live = await world.start()
    assert await read(live) == [STARTED, HALF, DONE]
    await live.aclose()
    await world.service.settled()
    [run] = world.runs
    assert (run.id, run.tenant_id, run.user_id) == (live.run.id, "acme", "ann")
    assert live.run.new_thread
    assert world.agent.closed
    assert (world.store.told, world.log.asked.is_set()) == ([], False)


async def test_a_replica_without_strength_takes_no_turn() -> None:
    """What is shed is refused before anything is stored, by what it is worth: a turn, or work in the background."""
    asked = []

    def refuse(priority: Priority) -> None:
        asked.append(priority)
        raise Overloaded("busy", retry_after_s=2.0)

    world = World(STARTED)
    world.service._admit_work = refuse
    with pytest.raises(Overloaded):
        await world.start()
    with pytest.raises(Overloaded):
        await world.service.submit(ANN, ASK)
    assert world.runs == []
    assert asked == [Priority.NEW_TURN, Priority.BACKGROUND]


async def test_an_unknown_model_names_those_there_are() -> None:
    """Nothing is stored for a graph that does not exist."""
    world = World()
    with pytest.raises(UnknownModel, match="react") as caught:
        await world.start(RunRequest(graph="nobody", messages=ASK.messages))
    assert caught.value.param == "model"
    assert world.runs == []


@pytest.mark.parametrize(
    "verdict",
    [BLOCKED, replace(BLOCKED, action=Action.REDACT), GuardrailUnavailable("down")],
    ids=["blocked", "redacted", "no verdict"],
)
@pytest.mark.parametrize("background", [False, True])
async def test_a_refused_input_is_on_record_and_never_runs(verdict: Verdict | MainstayError, background: bool) -> None:
    """The guard is asked before the run is stored; input cannot be rewritten; no verdict is not a pass.

    The record has no time left, and is no background run: an agent that found it before its end was stored would not run it.
    """
    world = World(STARTED)
    world.guard.verdict = verdict
    expected = type(verdict) if isinstance(verdict, MainstayError) else ContentBlocked
    request = replace(ASK, background=background)
    with pytest.raises(expected):
        await (world.service.submit(ANN, request) if background else world.start())
    assert world.guard.stored == 0
    [run] = world.runs
    assert world.ends == [(RunStatus.FAILED, expected.code)]
    assert (run.background, run.timeout_s) == (False, 0.0)
    assert world.row(run).deadline_at - world.row(run).created_at == timedelta()
    assert (world.agent.tickets, world.time.pending) == ([], 0)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("action", [Action.ALLOW, Action.FLAG])
async def test_a_flagged_input_runs_and_is_marked(action: Action, background: bool) -> None:
    """What is suspect passes as it is; the run that is stored, and that an agent takes, says that it is not to be trusted."""
    world = World(STARTED)
    world.guard.verdict = replace(BLOCKED, action=action)
    request = replace(ASK, background=background)
    if background:
        run = await world.service.submit(ANN, request)
    else:
        live = await world.start()
        run = live.run
        await live.aclose()
    assert run.flagged is (action is Action.FLAG)
    [stored] = world.runs
    assert stored.flagged is run.flagged
    assert stored.messages == ASK.messages


async def test_what_a_person_decided_is_screened_too() -> None:
    """Every text of a decision is shown to the guard, and a refusal says where it is from."""
    world = World(STARTED)
    await (await world.start(DECIDED)).aclose()
    assert {"f", "eve"} <= set(world.guard.texts)
    world.guard.verdict = BLOCKED
    with pytest.raises(ContentBlocked) as caught:
        await world.start(DECIDED)
    assert caught.value.param == "decisions"


async def test_a_refusal_is_the_same_where_it_cannot_be_recorded(caplog: pytest.LogCaptureFixture) -> None:
    """A thread that is busy, or a store that is away, does not change what the client is told; it is logged."""
    caplog.set_level(logging.INFO)
    world = World(STARTED, silent=True)
    first = await world.opened()
    world.guard.verdict = BLOCKED
    with pytest.raises(ContentBlocked):
        await world.start(replace(ASK, thread_id=first.run.thread_id))
    world.faults.failures["create"] = [StoreUnavailable("away")]
    with pytest.raises(ContentBlocked):
        await world.start()
    world.faults.failures["finish"] = [StoreUnavailable("away")]
    with pytest.raises(ContentBlocked):
        await world.start()
    assert [run.status for run in world.runs] == [RunStatus.PENDING] * 2
    assert caplog.text.count("is not on record") == 2
    await first.aclose()


async def test_a_failure_before_the_first_event_is_raised() -> None:
    """What the agent raises instead of an event becomes an HTTP status, so it must come out of `start`."""
    world = World(Overloaded("busy", retry_after_s=1.0))
    with pytest.raises(Overloaded):
        await world.start()
    assert world.ends == [(RunStatus.FAILED, "overloaded")]


@pytest.mark.parametrize(
    "opening",
    [STARTED.events, (), (RunRestarted(attempt=2, keep=None), *STARTED.events)],
    ids=["started", "nothing", "restarted"],
)
async def test_a_run_that_fails_at_once_is_a_status(opening: tuple[RunEvent, ...]) -> None:
    """Nothing was shown of it: the client gets the status and when to come back, not a stream that holds a failure."""
    failure = ModelUnavailable("nobody", retry_after_s=7.0).to_failure()
    failed = RunFailed(failure=failure, partial=False, usage=Usage(), duration_s=0.1)
    with pytest.raises(ModelUnavailable) as caught:
        await World(batch(0, *opening, failed)).start()
    assert caught.value.retry_after_s == 7.0


async def test_a_run_that_fails_at_once_after_some_text_is_a_stream() -> None:
    """Another attempt had shown something: there is something to go on from, and the client is to know that."""
    failure = ModelUnavailable("nobody").to_failure()
    failed = batch(0, *STARTED.events, RunFailed(failure=failure, partial=True, usage=Usage(), duration_s=0.1))
    live = await World(failed).start()
    assert await read(live) == [failed]
    await live.aclose()


async def test_an_error_in_the_stream_is_one_terminal_event() -> None:
    """What the agent raises after its first event, and does not send as one, is a failure at the end of the stream."""
    world = World(STARTED, HALF, InternalError("a bug"))
    live = await world.start()
    *_, last = [event for received in await read(live) for event in received.events]
    assert isinstance(last, RunFailed)
    assert (last.failure.code, last.partial) == ("internal_error", True)
    await live.aclose()
    assert world.agent.closed


async def test_a_busy_thread_is_refused_before_an_agent_is_asked() -> None:
    """One turn at a time: the store says so, and what is refused is not stored."""
    world = World(STARTED, silent=True)
    first = await world.opened()
    with pytest.raises(ThreadBusy):
        await world.start(replace(ASK, thread_id=first.run.thread_id))
    assert (len(world.runs), len(world.agent.tickets)) == (1, 1)
    await first.aclose()


async def test_a_hang_up_has_the_run_stopped() -> None:
    """Leaving before the terminal event closes the stream, and the store tells the run's owner; what it said is kept."""
    world = World(STARTED, HALF, DONE)
    live = await world.start()
    await anext(aiter(live))
    await live.aclose()
    await live.aclose()
    await world.service.settled()
    assert world.agent.closed
    assert world.store.told == [("cancel", live.run.id, CancelAction.INTERRUPT, "client_disconnected")]
    assert world.ends == [(RunStatus.CANCELLED, None)]


async def test_a_hang_up_of_a_run_that_is_to_continue_says_nothing() -> None:
    """With `on_disconnect: continue` the agent is only detached."""
    world = World(STARTED, HALF, DONE)
    live = await world.start(CONTINUE)
    await live.aclose()
    await world.service.settled()
    assert world.agent.closed
    assert (world.store.told, world.ends) == ([], [])


async def test_a_hang_up_that_cannot_be_told_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The store is away: the agent finds by itself that nobody reads, and nobody waits for that here."""
    world = World(STARTED, HALF, DONE)
    live = await world.start()
    world.faults.failures["cancel"] = [StoreUnavailable("away")]
    await live.aclose()
    await world.service.settled()
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert str(live.run.id) in record.getMessage()
    assert world.ends == []


@pytest.mark.parametrize("where", ["create", "agent"])
async def test_a_client_that_leaves_before_the_first_event_is_a_hang_up_too(where: str) -> None:
    """Cancelling `start` while it waits for the store or the agent stops the run: none is left pending."""
    world = World(silent=True)
    hangs = world.agent.silence
    if where == "create":
        hangs = world.faults.hangs["create"] = Hangs()
    assert hangs is not None
    starting = begin(world.start())
    await hangs.reached.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await world.service.settled()
    [run] = world.runs
    assert world.store.told == [("cancel", run.id, CancelAction.INTERRUPT, "client_disconnected")]
    assert world.ends == [(RunStatus.CANCELLED, None)]
    assert world.time.pending == 0


async def test_a_client_that_leaves_while_it_is_screened_leaves_nothing() -> None:
    """Its run is not stored yet, and never will be."""
    world = World(STARTED)
    hangs = world.faults.hangs["check"] = Hangs()
    starting = begin(world.start())
    await hangs.reached.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await world.service.settled()
    assert (world.runs, world.agent.tickets, world.time.pending) == ([], [], 0)


@pytest.mark.parametrize("where", ["check", "create", "agent"])
async def test_a_run_that_is_to_continue_gets_as_far_as_its_agent(where: str) -> None:
    """A client that leaves before the first event does not take back a run that is to continue."""
    world = World(STARTED, HALF) if where != "agent" else World(silent=True)
    hangs = world.agent.silence or world.faults.hangs.setdefault(where, Hangs())
    starting = begin(world.start(CONTINUE))
    await hangs.reached.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    hangs.go.set()
    await world.service.settled()
    assert (len(world.agent.tickets), world.agent.closed) == (1, True)
    assert (world.store.told, world.ends, world.time.pending) == ([], [], 0)
