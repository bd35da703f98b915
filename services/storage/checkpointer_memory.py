"""The checkpoints of runs in memory, for unit tests and for a laptop without a database. Per process, unbounded."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, cast
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, CheckpointTuple, get_checkpoint_id
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from services.runs.checkpoints import ChannelValue, Kept, KeptCheckpoint, KeptWrite
from services.runs.log_writer import EventLog
from services.storage.checkpointer import config_of, next_version, place_of
from services.storage.effects import refuse_superseded
from services.types import Fence, Progress, Run

_Place = tuple[str, str, str]
"""Thread, namespace and tenant."""


class MemoryCheckpoints(BaseCheckpointSaver[str]):
    """`services.runs.checkpoints.CheckpointStore` and what its threads are read with, as one object.

    `find` returns a run as it is stored, None for one that is not; `log` takes what is stored of its log. Of LangGraph's saver
    it offers what reads and what erases.
    """

    def __init__(self, find: Callable[[UUID], Run | None], log: EventLog | None = None) -> None:
        super().__init__(serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        self._find = find
        self._log = log
        self._checkpoints: dict[_Place, dict[str, KeptCheckpoint]] = {}
        self._values: dict[_Place, dict[tuple[str, str], ChannelValue]] = {}
        self._writes: dict[_Place, dict[tuple[str, str, int], KeptWrite]] = {}
        self.progress: dict[UUID, Progress] = {}
        """Of each run, what was stored with its newest checkpoint."""

    async def save(self, fence: Fence, kept: Kept) -> None:
        run = self._find(fence.run_id)
        refuse_superseded(fence, held=run is not None and run.attempt == fence.attempt and run.finished_at is None)
        assert run is not None  # noqa: S101  # it would have been refused
        for write in kept.writes:
            place = (str(run.thread_id), write.namespace, run.tenant_id)
            row = (write.checkpoint_id, write.task_id, write.index)
            writes = self._writes.setdefault(place, {})
            if write.index < 0 or row not in writes:
                writes[row] = write
        if self._log is not None:
            await self._log.append(kept.rows)
        self.progress[run.id] = kept.progress
        self.keep(run, kept.checkpoints)

    def keep(self, run: Run, checkpoints: Sequence[KeptCheckpoint]) -> None:
        """Take checkpoints of a run whose fence holds."""
        for checkpoint in checkpoints:
            place = (str(run.thread_id), checkpoint.namespace, run.tenant_id)
            self._checkpoints.setdefault(place, {}).setdefault(checkpoint.id, checkpoint)
            values = self._values.setdefault(place, {})
            values.update({(value.channel, value.version): value for value in checkpoint.values})
        for namespace, newest in {checkpoint.namespace: checkpoint for checkpoint in checkpoints}.items():
            self._forget((str(run.thread_id), namespace, run.tenant_id), newest, str(run.id))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that the config names, or the one of its thread and namespace that is furthest on."""
        place, checkpoint_id = place_of(config), get_checkpoint_id(config)
        rows = self._checkpoints.get(place, {})
        row = rows.get(checkpoint_id) if checkpoint_id else max(rows.values(), key=_order, default=None)
        return None if row is None else self._tuple(place, row)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # the base class's name for it
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield the checkpoints of one thread and namespace, newest first."""
        if config is None or filter or before:
            raise NotImplementedError("In memory, checkpoints are listed by their thread only.")
        place = place_of(config)
        for checkpoint_id in sorted(self._checkpoints.get(place, {}), reverse=True)[:limit]:
            yield self._tuple(place, self._checkpoints[place][checkpoint_id])

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Erase the checkpoints whose metadata names one of the runs."""
        for place, rows in self._checkpoints.items():
            kept = [row for row in rows.values() if row.metadata.get("run_id") not in run_ids]
            self._keep(place, kept)

    def get_next_version(self, current: str | None, channel: None) -> str:
        return next_version(current)

    def _forget(self, place: _Place, new: KeptCheckpoint, run_id: str) -> None:
        """Drop what neither the run nor its undoing needs: see `CheckpointStore`."""
        base = self._before(place, run_id)
        thread_id, namespace, tenant_id = place
        if not any(row is not None and row.chained for row in (base, new)):
            newest = max(self._of(place, run_id), key=_order)
            self._keep(place, [row for row in (base, newest) if row is not None])
        if namespace:
            return
        steps = {row.id for row in (base, new) if row is not None}
        for inner in [inner for inner in self._checkpoints if inner[0] == thread_id and inner[2] == tenant_id]:
            if ":" in inner[1]:
                live = [row for row in self._checkpoints[inner].values() if row.metadata["parents"].get("") in steps]
                self._keep(inner, live)

    def _before(self, place: _Place, run_id: str) -> KeptCheckpoint | None:
        rows = self._checkpoints[place].values()
        return max((row for row in rows if row.metadata.get("run_id") != run_id), key=_order, default=None)

    def _of(self, place: _Place, run_id: str) -> Iterable[KeptCheckpoint]:
        return (row for row in self._checkpoints[place].values() if row.metadata.get("run_id") == run_id)

    def _keep(self, place: _Place, kept: Sequence[KeptCheckpoint]) -> None:
        self._checkpoints[place] = rows = {row.id: row for row in kept}
        needed = {version for row in kept for version in row.versions.items()}
        self._values[place] = {version: v for version, v in self._values.get(place, {}).items() if version in needed}
        self._writes[place] = {row: w for row, w in self._writes.get(place, {}).items() if w.checkpoint_id in rows}

    def _tuple(self, place: _Place, row: KeptCheckpoint) -> CheckpointTuple:
        stored = self._values[place]
        values = [stored[version] for version in row.versions.items() if version in stored]
        writes = [w for w in self._writes.get(place, {}).values() if w.checkpoint_id == row.id]
        writes.sort(key=lambda write: (write.task_path, write.task_id, write.index))
        body = self.serde.loads_typed((row.type, row.body))
        read = {value.channel: self.serde.loads_typed((value.type, value.body)) for value in values}
        return CheckpointTuple(
            config=config_of(*place, row.id),
            checkpoint=cast(Checkpoint, {**body, "channel_values": read}),
            metadata=cast(Any, dict(row.metadata)),
            parent_config=config_of(*place, row.parent_id) if row.parent_id else None,
            pending_writes=[(w.task_id, w.channel, self.serde.loads_typed((w.type, w.body))) for w in writes],
        )


def _order(row: KeptCheckpoint) -> tuple[int, str]:
    return row.metadata.get("step", -2), row.id
