"""The ingress's side of a run: refusals before the first event, hang-ups, and an agent that dies."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from services.errors import (
    AgentLost,
    ContentBlocked,
    GuardrailUnavailable,
    MainstayError,
    ModelUnavailable,
    Overloaded,
    UnknownModel,
)
from services.resilience.priority import Priority
from services.runs.live_run import LiveRun
from services.runs.service import RunService
from services.types import (
    Action,
    EventBatch,
    Message,
    OnDisconnect,
    Principal,
    Run,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRequest,
    RunStarted,
    RunStatus,
    TextDelta,
    Usage,
    Verdict,
)
from tests.services.runs.fakes import FakeAgent, FakeGuard, FakeRunStore

ANN = Principal(tenant_id="acme", user_id="ann")
ASK = RunRequest(graph="react", messages=(Message(role="user", content="hello"),))
CONTINUE = replace(ASK, on_disconnect=OnDisconnect.CONTINUE)


def batch(seq: int, *events: RunEvent) -> EventBatch:
    return EventBatch(attempt=1, first_seq=seq, events=events)


STARTED = batch(0, RunStarted(run_id=uuid4(), thread_id=uuid4(), graph="react"))
HALF = batch(1, TextDelta(text="half"))
DONE = batch(2, RunCompleted(finish_reason="stop", usage=Usage(), duration_s=0.0))


class World:
    def __init__(self, *batches: EventBatch | MainstayError, guard: FakeGuard | None = None) -> None:
        self.agent = FakeAgent(list(batches))
        self.store = FakeRunStore()
        self.service = RunService(
            agent=self.agent,
            runs=self.store,
            guard=guard or FakeGuard(),
            graphs=["react"],
            max_run_s=60.0,
            new_id=uuid4,
        )

    async def start(self, request: RunRequest = ASK) -> LiveRun:
        return await self.service.start(ANN, request)

    @property
    def failure_codes(self) -> list[str]:
        return [outcome.failure.code for outcome in self.store.outcomes.values() if outcome.failure]


async def test_a_run_is_stored_for_its_owner_and_its_events_pass_through() -> None:
    """The run belongs to the principal, begins a new thread, and every batch arrives as the agent made it."""
    world = World(STARTED, HALF, DONE)
    live = await world.start()
    assert [received async for received in live] == [STARTED, HALF, DONE]
    await live.aclose()
    [run] = world.store.runs.values()
    assert (run.tenant_id, run.user_id, run.new_thread) == ("acme", "ann", True)
    assert world.agent.cancelled == []


async def test_a_replica_without_strength_takes_no_turn() -> None:
    """What is shed is refused before anything is stored."""

    def refuse(priority: Priority) -> None:
        raise Overloaded("busy", retry_after_s=2.0)

    world = World(STARTED)
    world.service._admit_work = refuse
    with pytest.raises(Overloaded):
        await world.start()
    assert world.store.runs == {}


async def test_an_unknown_model_names_those_there_are() -> None:
    """Nothing is stored for a graph that does not exist."""
    world = World()
    with pytest.raises(UnknownModel, match="react") as caught:
        await world.start(RunRequest(graph="nobody", messages=ASK.messages))
    assert caught.value.param == "model"
    assert world.store.runs == {}


async def test_a_blocked_input_never_reaches_the_agent() -> None:
    """The guard's block is an error before the first event, and the run is recorded as failed."""
    verdict = Verdict(action=Action.BLOCK, rule="injection", message="no")
    world = World(STARTED, guard=FakeGuard(verdict))
    with pytest.raises(ContentBlocked, match="no"):
        await world.start()
    assert world.failure_codes == ["content_blocked"]
    assert not world.agent.closed


@pytest.mark.parametrize("error", [Overloaded("busy", retry_after_s=1.0), AgentLost("gone")])
async def test_a_failure_before_the_first_event_is_raised(error: MainstayError) -> None:
    """What the agent raises instead of an event becomes an HTTP status, so it must come out of `start`."""
    world = World(error)
    with pytest.raises(type(error)):
        await world.start()
    assert world.failure_codes == [error.code]


async def test_a_run_that_fails_at_once_is_a_status() -> None:
    """Nothing was shown of it: the client gets the status and when to come back, not a stream that holds a failure."""
    failure = ModelUnavailable("nobody", retry_after_s=7.0).to_failure()
    failed = RunFailed(failure=failure, partial=False, usage=Usage(), duration_s=0.1)
    with pytest.raises(ModelUnavailable) as caught:
        await World(batch(0, STARTED.events[0], failed)).start()
    assert caught.value.retry_after_s == 7.0


async def test_a_guard_that_cannot_answer_fails_the_run() -> None:
    """No verdict is not a pass: the guard fails closed."""
    world = World(STARTED, guard=FakeGuard(GuardrailUnavailable("down")))
    with pytest.raises(GuardrailUnavailable):
        await world.start()
    assert world.failure_codes == ["guardrail_unavailable"]


@pytest.mark.parametrize("ending", [[], [AgentLost("killed")]])
async def test_an_agent_that_dies_is_one_terminal_event(ending: list[MainstayError]) -> None:
    """A stream that ends without its terminal event, or breaks, gives RunFailed(agent_lost), marked partial.

    The agent may be alive all the same: it is asked to stop before the run is closed. What the client saw is kept.
    """
    world = World(STARTED, HALF, *ending)
    live = await world.start()
    *_, last = [event async for received in live for event in received.events]
    assert isinstance(last, RunFailed)
    assert (last.failure.code, last.partial) == ("agent_lost", True)
    assert world.agent.cancelled == [(live.run.id, "stream_lost")]
    assert world.failure_codes == ["agent_lost"]
    [outcome] = world.store.outcomes.values()
    assert [message.content for message in outcome.messages] == ["half"]


async def test_a_broken_stream_of_a_run_that_is_to_continue_is_a_detach() -> None:
    """The reader is told that it lost the agent; the run is left to its agent."""
    world = World(STARTED, AgentLost("connection"))
    live = await world.start(CONTINUE)
    *_, last = [event async for received in live for event in received.events]
    assert isinstance(last, RunFailed)
    assert last.partial is False
    assert (world.agent.cancelled, world.store.outcomes) == ([], {})


async def test_a_run_that_is_to_continue_gets_as_far_as_its_agent() -> None:
    """A client that leaves before the first event does not take back a run that is to continue."""
    world = World(STARTED, HALF, DONE)
    world.agent.hold = 0
    starting = asyncio.create_task(world.start(CONTINUE))
    await world.store.created.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    world.agent.go.set()
    await world.service.settled()
    assert world.agent.closed
    assert (world.agent.cancelled, world.store.outcomes) == ([], {})


@pytest.mark.parametrize("action", [Action.BLOCK, Action.REDACT])
async def test_only_an_allowed_input_is_let_through(action: Action) -> None:
    """Input cannot be rewritten, so a rule that would redact it refuses it."""
    world = World(STARTED, guard=FakeGuard(Verdict(action=action, rule="pii")))
    with pytest.raises(ContentBlocked):
        await world.start()


async def test_a_cancel_that_fails_still_closes_the_run() -> None:
    """When the agents cannot be reached the run is closed all the same; its agent ends it after the grace."""
    world = World(STARTED, HALF)

    async def unreachable(run_id: UUID, reason: str) -> None:
        raise AgentLost("no replica")

    world.agent.cancel = unreachable  # type: ignore[method-assign]
    live = await world.start()
    await live.aclose()
    await world.service.settled()
    assert world.store.outcomes[live.run.id].status is RunStatus.CANCELLED


async def test_a_hang_up_says_cancel() -> None:
    """Leaving before the terminal event closes the stream and tells the agents to stop the run."""
    world = World(STARTED, HALF, DONE)
    live = await world.start()
    await anext(live)
    await live.aclose()
    await world.service.settled()
    assert world.agent.closed
    assert world.agent.cancelled == [(live.run.id, "client_disconnected")]
    assert world.store.outcomes[live.run.id].status is RunStatus.CANCELLED


async def test_a_hang_up_of_a_run_that_is_to_continue_says_nothing() -> None:
    """With `on_disconnect: continue` the agent is only detached."""
    world = World(STARTED, HALF, DONE)
    live = await world.start(CONTINUE)
    await live.aclose()
    await world.service.settled()
    assert world.agent.closed
    assert world.agent.cancelled == []


async def test_a_client_that_leaves_before_the_first_event_is_a_hang_up_too() -> None:
    """Cancelling `start` while it waits for the agent stops the run, and no run is left pending."""
    world = World(STARTED)
    world.agent.hold = 0
    starting = asyncio.create_task(world.start())
    await world.store.created.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await world.service.settled()
    [run_id] = world.store.runs
    assert world.agent.cancelled == [(run_id, "client_disconnected")]
    assert world.store.outcomes[run_id].status is RunStatus.CANCELLED


async def test_a_client_that_leaves_while_its_run_is_stored_is_a_hang_up() -> None:
    """Whether or not the store took the run before the cancellation, it does not stay pending."""
    world = World(STARTED)
    stored = world.store.create

    async def create_slowly(run: Run) -> None:
        await stored(run)
        await asyncio.Event().wait()

    world.store.create = create_slowly  # type: ignore[method-assign]
    starting = asyncio.create_task(world.start())
    await world.store.created.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await world.service.settled()
    [outcome] = world.store.outcomes.values()
    assert outcome.status is RunStatus.CANCELLED
