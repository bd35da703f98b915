"""The saver that graphs are compiled with: LangGraph's way to the checkpoints of whichever run it is executing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from graphs.write_behind import Patience, WriteBehind
from services.runs.checkpoints import CheckpointStore
from services.runs.types import RunContext

_RUN = "__mainstay_run"
"""Key in a config's `configurable`. LangGraph hands it on to graphs within graphs; with "__" it stays out of the metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointing:
    """Where the threads of a replica are: `saver` reads them, `store` takes what its runs make of them."""

    saver: BaseCheckpointSaver[str]
    store: CheckpointStore
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def of(self, context: RunContext) -> WriteBehind:
        """Return the checkpoints of one run, for its config and its nodes."""
        return WriteBehind(self.store, self.saver.serde, context, patience=self.patience, sleep=self.sleep)


def config_of(context: RunContext, checkpoints: WriteBehind | None, *, max_steps: int) -> RunnableConfig:
    """Return what a graph is invoked with for a run."""
    run = context.run
    named: dict[str, Any] = {"thread_id": str(run.thread_id), "tenant_id": run.tenant_id}
    if checkpoints is not None:
        named[_RUN] = checkpoints
    return RunnableConfig(recursion_limit=max_steps, configurable=named)


class RunSaver(BaseCheckpointSaver[str]):
    """Reads threads with another saver, and gives what is to be stored to the run that it belongs to.

    One for all runs of a graph. A config must be of `config_of`, or it can only be read with.
    """

    def __init__(self, saver: BaseCheckpointSaver[str]) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        run: WriteBehind | None = config["configurable"].get(_RUN)
        held = None if run is None else run.held(config)
        if held is not None or (run is not None and run.is_all):
            return held
        return await self._saver.aget_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # the base class's name for it
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        async for found in self._saver.alist(config, filter=filter, before=before, limit=limit):
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        run: WriteBehind = config["configurable"][_RUN]
        run.put(config, checkpoint, metadata, new_versions)
        return {**config, "configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        run: WriteBehind = config["configurable"][_RUN]
        run.put_writes(config, writes, task_id, task_path)

    def get_next_version(self, current: str | None, channel: None) -> str:
        return self._saver.get_next_version(current, channel)
