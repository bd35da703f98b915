"""Runs that are taken over and gone on with: a store that can be watched, and one attempt after the other over it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime

from graphs.decisions import DecisionDesk
from graphs.runner import GraphRunner
from graphs.saver import Checkpointing, RunSaver
from graphs.state import State
from graphs.write_behind import Patience
from services.runs.checkpoints import CheckpointStore, Kept
from services.runs.types import RunContext
from services.storage.checkpointer_memory import MemoryCheckpoints
from services.types import Fence, Progress, Run, RunStatus
from tests.graphs.fakes import NOON, STORED, Reply, Turn, turn

Node = Callable[[Any, Runtime[RunContext]], Awaitable[Mapping[str, Any]]]


@dataclass
class WatchedStore:
    """A checkpoint store that remembers what it took, waits while `open` is not set, and fails with `errors` first."""

    store: CheckpointStore
    saved: list[Kept] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    async def save(self, fence: Fence, kept: Kept) -> None:
        self.begun.set()
        await self.open.wait()
        if self.errors:
            raise self.errors.pop(0)
        await self.store.save(fence, kept)
        self.saved.append(kept)

    @property
    def steps(self) -> list[list[int]]:
        """Of each statement, the steps of the checkpoints in it."""
        return [[one.metadata["step"] for one in kept.checkpoints] for kept in self.saved]

    @property
    def events(self) -> list[int]:
        """Of each statement, how many events there were when its checkpoint was made."""
        return [kept.progress.event_id.seq + 1 for kept in self.saved]


@dataclass
class Site:
    """One store, and what runs on it. `waited` are the seconds that runs have waited for the store to come back."""

    memory: MemoryCheckpoints = field(default_factory=lambda: MemoryCheckpoints(STORED.get))
    waited: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = WatchedStore(self.memory)

    @property
    def checkpointing(self) -> Checkpointing:
        return Checkpointing(
            saver=self.memory, store=self.store, patience=Patience(tries=3, retry_s=0.5), sleep=self._wait
        )

    async def _wait(self, seconds: float) -> None:
        self.waited.append(seconds)

    def graph(self, *nodes: Node, schema: Any = State, **options: Any) -> GraphRunner:
        """A graph that executes nodes one after the other."""
        graph: StateGraph[Any, Any, Any, Any] = StateGraph(schema, context_schema=RunContext)
        last = START
        for node in nodes:
            action: Any = node  # LangGraph has a protocol of its own for each way to write one
            graph.add_node(node.__name__, action)
            graph.add_edge(last, node.__name__)
            last = node.__name__
        return self.runner(graph, **options)

    def runner(self, graph: StateGraph[Any, Any, Any, Any], **options: Any) -> GraphRunner:
        compiled = graph.compile(checkpointer=RunSaver(self.memory), **options)
        return GraphRunner(compiled, DecisionDesk(()), checkpointing=self.checkpointing, max_steps=40)

    def progress(self, run: Run) -> Progress | None:
        return self.memory.progress.get(run.id)

    async def values(self, turned: Turn) -> Mapping[str, Any]:
        """The values of the newest checkpoint that is stored of a turn's thread."""
        run = turned.context.run
        found = await self.memory.aget_tuple(
            {"configurable": {"thread_id": str(run.thread_id), "tenant_id": run.tenant_id}}
        )
        return {} if found is None else found.checkpoint["channel_values"]

    def taken_over(self, earlier: Turn, *script: Reply, **options: Any) -> Turn:
        """The next attempt of a run, from whatever is stored of it."""
        run = replace(earlier.context.run, attempt=earlier.context.run.attempt + 1)
        return turn(*script, run=run, progress=self.progress(run), **options)

    def decided(self, earlier: Turn, decisions: Sequence[Mapping[str, Any]], *script: Reply, **options: Any) -> Turn:
        """The run with which the thread goes on once a person has decided."""
        asking = earlier.context.run
        STORED[asking.id] = replace(asking, status=RunStatus.INTERRUPTED, finished_at=NOON)
        run = replace(asking, id=uuid4(), messages=(), decisions=tuple(decisions), attempt=1)
        return turn(*script, run=run, **options)


async def idle(turns: int = 200) -> None:
    """Let everything run that waits for nothing but its turn."""
    for _ in range(turns):
        await asyncio.sleep(0)
