"""An agent replica over the store in memory: a real engine, the react graph with tools, and a model that follows a script."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool

from graphs.build import build
from graphs.saver import Checkpointing
from graphs.spec import GraphOptions
from services.events import EventBatch
from services.guardrails.screen.output import OutputScreen
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.resilience.retry import RetryPolicy
from services.runs.engine import EngineLimits, RunEngine
from services.storage.checkpointer_memory import MemoryCheckpoints
from services.telemetry.tracing import NOT_TRACING, Tracer
from services.types import RunTicket
from tests.deployments.http.fakes import Rig
from tests.services.runs.engine_world import batches_of
from tests.services.runs.fakes import FakeGuard, FakeObserver, FakeProvider

Say = Callable[[ModelCall, TextSink], Awaitable[AIMessage]]

LEASE, LEASE_S = uuid4(), 1e6


class RealAgent:
    """Put in the place of a rig's agent. Tools named in `approve` ask a person first. `asked` are the calls of the model,
    unless there is another `gateway`. `on_batch` is told of each batch that leaves.
    """

    def __init__(
        self,
        rig: Rig,
        say: Say,
        screen: OutputScreen,
        *,
        tools: Sequence[BaseTool] = (),
        approve: Sequence[str] = (),
        gateway: Gateway | None = None,
        tracer: Tracer = NOT_TRACING,
    ) -> None:
        self.asked: list[ModelCall] = []
        self.on_batch: Callable[[EventBatch], None] = lambda _: None
        self._say = say
        self._store = rig.store
        self.checkpoints = MemoryCheckpoints(self._run)
        rig.store.owned_runs.checkpoints = self.checkpoints
        checkpointing = Checkpointing(saver=self.checkpoints, store=self.checkpoints)
        self.observer = FakeObserver()
        gateway = gateway or Gateway([Route.of(FakeProvider(self._answer))], retry=RetryPolicy(attempts_per_provider=1))
        self._engine = RunEngine(
            runs=rig.store.owned_runs,
            lease=LEASE,
            graphs={"react": build("react", GraphOptions(approve=tuple(approve)), tools, checkpointing)},
            gateways={"react": gateway},
            guard=FakeGuard(),
            observers=[self.observer],
            prompts=lambda _: {"system": "Answer in one sentence, whatever it is that you are asked, and stay polite."},
            limits=EngineLimits(first_batch_wait_s=0.0),
            screen=screen,
            tracer=tracer,
        )
        rig.runs._agent = self

    def _run(self, run_id: Any) -> Any:
        row = self._store.tables.runs.get(run_id)
        return None if row is None else row.run

    async def _answer(self, call: ModelCall, sink: TextSink) -> AIMessage:
        self.asked.append(call)
        return await self._say(call, sink)

    async def execute(self, ticket: RunTicket) -> AsyncGenerator[EventBatch, None]:
        async with aclosing(batches_of(self._engine, ticket.run_id)) as batches:
            async for batch in batches:
                self.on_batch(batch)
                yield batch

    async def work(self) -> None:
        """Take what is queued, and run it to its end."""
        await self._store.leases.beat(LEASE, LEASE_S)
        for claim in await self._store.leases.take_queued(LEASE, limit=10, background=True):
            await self._engine.adopt(claim)
