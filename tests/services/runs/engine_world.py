"""An engine on fakes, in which time passes by hand, and graphs for it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, HumanMessage

from services.events import EventBatch, RunEvent, TextDelta, ToolFinished
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.runs.engine import EngineLimits, RunEngine
from services.runs.types import GraphResult, RunContext
from services.types import Message, Run, RunOutcome, RunTicket
from tests.services.runs.fakes import FakeGraph, FakeGuard, FakeObserver, FakeOwnedRuns, FakeProvider, a_run
from tests.services.runs.manual_time import ManualTime

CALL = ModelCall(messages=[HumanMessage("hello")])
LEASE = UUID(int=1)
TOOL = ToolFinished(call_id="1", name="clock", ok=True, result="noon", duration_s=0.0)


class World:
    """`script` is the graph, and `speak` the model unless the provider is given another one."""

    def __init__(self, script: Callable[[RunContext], Any], *, run: Run | None = None, **limits: Any) -> None:
        self.run = run or a_run()
        self.runs = FakeOwnedRuns(self.run)
        self.observer = FakeObserver()
        self.time = ManualTime()
        self.slept: list[float] = []
        self.prompt_version = "1"
        self.speaking = asyncio.Event()
        self.closed = asyncio.Event()
        self.provider = FakeProvider(self.speak)
        self.graphs = {"react": FakeGraph(script)}
        self.engine = RunEngine(
            runs=self.runs,
            lease=LEASE,
            graphs=self.graphs,
            gateways={"react": Gateway([Route.of(self.provider)])},
            guard=FakeGuard(),
            observers=[self.observer],
            prompts=lambda graph: {"system": f"prompt of {graph}"},
            prompt_version=lambda graph: f"{graph} {self.prompt_version}",
            limits=EngineLimits(**limits),
            clock=self.time,
            call_later=self.time.call_later,
            sleep=self.sleep,
        )

    def add(self, run: Run, script: Callable[[RunContext], Any]) -> None:
        """One more run, of a graph of its own."""
        self.runs.runs[run.id] = run
        self.graphs[run.graph] = FakeGraph(script)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def speak(self, call: ModelCall, sink: TextSink) -> AIMessage:
        """Say three words, then wait for ever."""
        sink.text("one two three ")
        await sink.drain()
        self.speaking.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.closed.set()
        raise AssertionError

    def batches(self, remaining_s: float = 60.0) -> "aclosing[AsyncGenerator[EventBatch, None]]":
        return aclosing(batches_of(self.engine, self.run.id, remaining_s))

    async def events(self) -> list[RunEvent]:
        """What a reader is shown from the beginning to the end."""
        async with self.batches() as batches:
            return [event async for batch in batches for event in batch.events]

    @property
    def outcome(self) -> RunOutcome:
        return self.runs.outcomes[self.run.id]

    @property
    def logged(self) -> list[RunEvent]:
        """What the log holds."""
        return [event for _, event in self.runs.log(self.run.id)]


async def batches_of(engine: RunEngine, run_id: UUID, remaining_s: float = 60.0) -> AsyncGenerator[EventBatch, None]:
    """What the agent streams of a run that shares its frames with no other."""
    async with aclosing(engine.execute(RunTicket(run_id=run_id, remaining_s=remaining_s))) as frames:
        async for frame in frames:
            [(_, batch)] = frame.batches
            yield batch


async def answer(context: RunContext) -> GraphResult:
    """A graph that says hi."""
    say(context, "hi")
    return GraphResult(messages=(Message(role="assistant", content="hi"),), finish_reason="stop")


async def ask_model(context: RunContext) -> GraphResult:
    """A graph that asks the model, which does not come back."""
    await context.model.generate(CALL)
    raise AssertionError


def say(context: RunContext, text: str) -> None:
    context.events.text(text)  # type: ignore[attr-defined]


async def read_until_text(batches: AsyncGenerator[EventBatch, None]) -> EventBatch:
    async for batch in batches:
        if any(isinstance(event, TextDelta) for event in batch.events):
            return batch
    raise AssertionError("no text came")


async def rest(batches: AsyncGenerator[EventBatch, None]) -> list[RunEvent]:
    return [event async for batch in batches for event in batch.events]
