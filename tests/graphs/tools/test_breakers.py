"""A tool with a network effect that fails again and again is called no more for a while, by any run of the replica."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException

from graphs.build import build, build_tools, tool_breakers
from graphs.spec import GraphOptions
from graphs.tools import TOOLS
from graphs.tools.care import ToolCalled, ToolCare, ToolLimits
from graphs.tools.execution import ToolExecution
from graphs.tools.outcomes import Outcome
from graphs.tools.resources import ToolResources
from services.errors import DeadlineExceeded, InvalidRequest, StoreUnavailable
from services.guard import Action, Guard, Stage, Verdict
from services.resilience.breaker import Breaker, BreakerSnapshot, BreakerState
from services.resilience.policy import BreakerMode, BreakerPolicy
from services.runs.deadline import Deadline
from tests.graphs.fakes import (
    FewDocuments,
    RecordingToolObserver,
    Stuck,
    Turn,
    calls,
    says,
    tool_of,
    turn,
)

UNAVAILABLE = "probe is not available right now (it failed repeatedly); go on without it and say so."


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Replica:
    """One tool of a replica, with its breaker, on a clock that stands still."""

    execution: ToolExecution
    breaker: Breaker
    clock: Clock
    observer: RecordingToolObserver

    async def call(self, turned: Turn | None = None, **arguments: Any) -> str:
        context = (turned or turn()).context
        [message] = await self.execution.run([calls(("probe", arguments))], context)
        return str(message.content)


def replica(
    function: Callable[..., Awaitable[object]], observer: RecordingToolObserver | None = None, **limits: Any
) -> Replica:
    clock, observer = Clock(), observer or RecordingToolObserver()
    breaker = Breaker("tool:probe", clock=clock, random=lambda: 0.5)
    care = ToolCare(limits=ToolLimits(**limits), breakers={"probe": breaker}, observer=observer)
    return Replica(ToolExecution([tool_of(function)], care), breaker, clock, observer)


def raising(error: BaseException) -> Callable[..., Awaitable[object]]:
    async def probe() -> str:
        raise error

    return probe


class Exhausted(Exception):
    """An exception of some network library."""


@pytest.mark.parametrize(
    "raised",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        StoreUnavailable("The database cannot be reached."),
        Exhausted("no more connections"),
        SystemExit(1),
        asyncio.CancelledError(),
    ],
    ids=lambda raised: type(raised).__name__,
)
async def test_failures_open_it(raised: BaseException) -> None:
    """After five failures in a row the tool is not called: the model reads at once that it is not there."""
    failing = replica(raising(raised))
    for _ in range(5):
        assert await failing.call() != UNAVAILABLE
    assert failing.breaker.state is BreakerState.OPEN
    assert await failing.call() == UNAVAILABLE
    assert failing.observer.called[-1] == ToolCalled(tool="probe", outcome=Outcome.UNAVAILABLE)


async def test_hanging_opens_it() -> None:
    """Five calls in a row that took too long are five failures, and the sixth costs no time."""
    made = 0

    async def probe() -> str:
        nonlocal made
        made += 1
        return str(await Stuck().wait())

    hanging = replica(probe, timeout_s=0.01)
    for _ in range(6):
        read = await hanging.call()
    assert (read, made) == (UNAVAILABLE, 5)


class Denying:
    async def check(self, texts: object, stage: Stage) -> Verdict:
        return Verdict(action=Action.BLOCK, rule="r", message="m")


@pytest.mark.parametrize(
    ("raised", "arguments", "guard"),
    [
        (ToolException("There is no such city."), {}, None),
        (InvalidRequest("The query cannot be stored."), {}, None),
        (DeadlineExceeded("The run is over."), {}, None),
        (None, {"count": "many"}, None),
        (None, {}, Denying()),
    ],
    ids=["the tool's words", "our refusal", "no time left", "wrong arguments", "withheld"],
)
async def test_what_is_no_failure_of_the_tool_leaves_it_closed(
    raised: Exception | None, arguments: dict[str, Any], guard: Guard | None
) -> None:
    """Neither the model's mistakes nor the guard's or the run's decisions count against a tool."""

    async def probe(count: int = 1) -> str:
        if raised is not None:
            raise raised
        return "ok"

    fine = replica(probe)
    for _ in range(20):
        assert await fine.call(turn(guard=guard), **arguments) != UNAVAILABLE
    assert (fine.breaker.state, fine.breaker.snapshot().failure_rate) == (BreakerState.CLOSED, 0.0)


async def test_an_error_message_of_a_tool_is_no_failure() -> None:
    """A tool that answers with an error has answered."""

    async def probe() -> ToolMessage:
        return ToolMessage("No seats left.", status="error", tool_call_id="x")

    fine = replica(probe)
    for _ in range(20):
        assert await fine.call() == "No seats left."
    assert fine.breaker.snapshot().calls == 0


async def test_cancelled_runs_leave_it_closed() -> None:
    """Runs that end while a tool works, by cancellation or by their deadline, say nothing of it and hold no permit."""
    started = asyncio.Event()

    async def probe() -> str:
        started.set()
        return str(await Stuck().wait())

    hanging = replica(probe)
    for _ in range(10):
        started.clear()
        task = asyncio.create_task(hanging.call())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    short = turn()
    short.context = replace(short.context, deadline=Deadline.after(0.01, lambda: 0.0))
    for _ in range(10):
        await hanging.call(short)
    assert (hanging.breaker.state, hanging.breaker.snapshot().calls) == (BreakerState.CLOSED, 0)


async def test_it_heals() -> None:
    """Once its time is over calls try the tool, and success lets all in at once; a cancelled try gives its place back."""
    works = False

    async def probe() -> str:
        if works:
            return "ok"
        if healed.breaker.state is BreakerState.HALF_OPEN:
            return str(await stuck.wait())
        raise ConnectionResetError

    stuck, healed = Stuck(), replica(probe)
    for _ in range(5):
        await healed.call()
    healed.clock.now += 10.0
    for _ in range(5):
        stuck.reached.clear()
        task = asyncio.create_task(healed.call())
        await stuck.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    works = True
    assert [await healed.call() for _ in range(20)] == ["ok"] * 20
    assert healed.breaker.state is BreakerState.CLOSED


async def test_probes_are_few() -> None:
    """While it is tried out, many callers at once cost the tool three calls; the others read at once that it is not there."""
    made, others_refused = 0, asyncio.Event()

    class Counting(RecordingToolObserver):
        def tool_called(self, call: ToolCalled) -> None:
            super().tool_called(call)
            if len([one for one in self.called if one.outcome is Outcome.UNAVAILABLE]) == 13:
                others_refused.set()

    async def probe() -> str:
        nonlocal made
        made += 1
        if made <= 5:
            raise ConnectionResetError
        await others_refused.wait()
        return "ok"

    tried = replica(probe, observer=Counting())
    for _ in range(5):
        await tried.call()
    tried.clock.now += 10.0
    messages = await tried.execution.run([calls(*[("probe", {})] * 16)], turn().context)
    assert [message.content for message in messages] == ["ok"] * 3 + [UNAVAILABLE] * 13


async def test_slowness_within_its_time_is_no_failure() -> None:
    """A tool may take all of its twenty seconds, every time."""
    now = 0.0

    async def probe(query: str) -> str:
        nonlocal now
        now += 19.0
        return "ok"

    breaker = tool_breakers(clock=lambda: now)["search_documents"]
    care = ToolCare(breakers={"probe": breaker})
    context = replace(turn().context, deadline=Deadline.after(10_000.0, lambda: now))
    for _ in range(20):
        await ToolExecution([tool_of(probe)], care).run([calls(("probe", {"query": "x"}))], context)
    snapshot = breaker.snapshot()
    assert (snapshot.state, snapshot.slow_rate) == (BreakerState.CLOSED, 0.0)
    assert snapshot.calls > 0


def test_tools_with_a_network_effect_have_one() -> None:
    """Each listed tool that leaves the process gets a breaker of its own, and no other."""
    breakers = tool_breakers()
    assert set(breakers) == {name for name, spec in TOOLS.items() if spec.network} >= {"search_documents"}
    assert [breaker.name for breaker in breakers.values()] == [f"tool:{name}" for name in breakers]


def test_its_policy_is_the_operators() -> None:
    """Numbers and mode come from the policy that is given, and listeners hear of changes."""
    heard: list[BreakerState] = []

    class Listener:
        def changed(self, before: BreakerSnapshot, after: BreakerSnapshot) -> None:
            heard.append(after.state)

    forced = BreakerPolicy(mode=BreakerMode.FORCED_OPEN, slow_floor_s=10.0)
    breaker = tool_breakers(forced, listeners=[Listener()])["search_documents"]
    assert (breaker.mode, breaker.slow_after_s) == (BreakerMode.FORCED_OPEN, 10.0)
    breaker.configure(BreakerPolicy())
    assert heard


async def test_all_agents_of_a_replica_share_it() -> None:
    """What the specialists of one graph find out, the agent of another knows: documents that are down are asked five times."""
    asked = 0

    class Down(FewDocuments):
        async def search(self, query: str, limit: int) -> Any:
            nonlocal asked
            asked += 1
            raise StoreUnavailable("The database cannot be reached.")

    care = ToolCare(breakers=tool_breakers())
    options = GraphOptions(max_tool_rounds=16, tool_care=care)
    tools = build_tools(["calculator", "search_documents"], ToolResources(documents=Down()))
    search, hand_over = ("search_documents", {"query": "refunds"}), ("transfer_to_research", {"task": "look"})
    first = turn(calls(hand_over), *[calls(search)] * 3, says("nothing"), says("I cannot look."), prompts=SUPERVISOR)
    await build("supervisor", options, tools).invoke(first.context)
    second = turn(*[calls(search)] * 3, says("I cannot look."))
    await build("react", options, tools).invoke(second.context)
    assert asked == 5
    assert second.model.asked[-1].texts[-1] == (
        "tool",
        "search_documents is not available right now (it failed repeatedly); go on without it and say so.",
    )


SUPERVISOR = {"supervisor": "Direct.", "math": "Count.", "research": "Look."}
