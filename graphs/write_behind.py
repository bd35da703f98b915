"""The checkpoints of one run while it is at work: taken at once, and stored behind the run's back.

LangGraph is told to wait for its saver after every step (`durability="sync"`), and the saver does not wait for anything. So a
checkpoint is taken before the next step does anything, together with how far the run had come; and the next step does not
wait for a store. Checkpoints are stored one statement after the other, each time the newest.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from types import TracebackType
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from graphs.unsaved import Unsaved, Writes, add_writes, as_tuple, serialised, with_newest
from services.errors import StoreUnavailable
from services.runs.checkpoints import CheckpointStore
from services.runs.types import RunContext
from services.types import Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a store that is away is tried, `retry_s` seconds apart, where a run cannot go on or end without it.

    Enough for a database that is restarted; a run that has nothing to store yet does not notice.
    """

    tries: int = 10
    retry_s: float = 0.5


_TRIGGERS = ("branch:", "join:", "__pregel_")
"""How the channels are named by which LangGraph knows that a node is still to be executed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    unsaved: Sequence[Unsaved]
    writes: Writes
    progress: Progress


class WriteBehind:
    """Implements `services.runs.types.RunCheckpoints`. Enter it for as long as the graph runs.

    What has not begun is not stored: the checkpoints up to the first node are, with the first that follows, or when the run
    ends. Every later one of the whole graph is stored as soon as the one before it is. Those of graphs within a node are only
    for `flush`, and for a turn that ends with a question: a step that was cut off is executed anew as a whole. An ephemeral
    run stores nothing before its first `flush`.

    Where the context says how, the checkpoint behind which nothing follows is stored with the run's end.

    A store that is away does not stop a run: what it did not take goes with the next checkpoint. Where the run cannot do
    without, in `flush` and at its end, it is tried as often as `patience` says, and then StoreUnavailable is raised: an answer
    that its thread does not remember is not a whole one, so the run has failed, and keeps what it has said. A run that has
    failed or is stopped tries once, and keeps its own reason. RunSuperseded, or a state that cannot be serialised, is raised
    at the next checkpoint, in `flush` or at the end, whichever comes first.
    """

    def __init__(
        self,
        store: CheckpointStore,
        serde: SerializerProtocol,
        context: RunContext,
        *,
        patience: Patience,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        run = context.run
        self._store = store
        self._serde = serde
        self._run_id = str(run.id)
        self._fence = context.claim.fence
        self._now = context.progress
        self._log = context.log
        self._patience = patience
        self._sleep = sleep
        self._to_the_end = context.to_the_end
        self._closing = False
        self._storing = not run.ephemeral or context.claim.progress is not None
        self._is_all = not self._storing or context.claim.blank_thread
        self._after_input = False
        self._paused = False
        self._progress = self._now()
        self._done: list[Unsaved] = []  # up to the last step that is over
        self._within: list[Unsaved] = []  # of graphs within the nodes that are at work
        self._within_progress = self._progress
        self._writes: Writes = {}
        self._batch: _Batch | None = None
        self._task: asyncio.Task[None] | None = None
        self._away: StoreUnavailable | None = None
        self._problem: BaseException | None = None

    def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, versions: ChannelVersions
    ) -> None:
        """Take a checkpoint as it is made. Raises what went wrong with an earlier one, but for a store that was away."""
        self._raise_problem()
        described = get_serializable_checkpoint_metadata(config, metadata)
        new = Unsaved(
            namespace=config["configurable"].get("checkpoint_ns", ""),
            checkpoint=checkpoint,
            parent_id=get_checkpoint_id(config),
            metadata={**described, "run_id": self._run_id},
            new_versions=versions,
        )
        self._drop_writes_before(new)
        if new.namespace:
            self._within = with_newest(self._within, new)
            self._within_progress = self._now()
            return
        self._done = reduce(with_newest, [*self._within, new], self._done)
        self._within = []
        self._progress = self._now()
        is_input = metadata.get("source") == "input"
        nothing_yet, self._after_input = is_input or self._after_input, is_input
        nothing_more = self._to_the_end is not None and _is_at_rest(checkpoint)
        if self._storing and not (nothing_yet or nothing_more):
            self._start(self._finished_steps)

    def put_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, path: str) -> None:
        """Take what a task wrote: it is stored where the turn ends with a question, or a delta channel is rebuilt from it."""
        named = config["configurable"]
        add_writes(self._writes, (named.get("checkpoint_ns", ""), named["checkpoint_id"]), task_id, path, writes)

    @property
    def is_all(self) -> bool:
        """Whether the thread can have no checkpoint but those that are held here."""
        return self._is_all

    def held(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that the config names, or the newest of its namespace, if it may not be stored yet."""
        namespace, wanted = config["configurable"].get("checkpoint_ns", ""), get_checkpoint_id(config)
        saving = self._batch.unsaved if self._batch else ()
        for one in reversed([*saving, *self._done, *self._within]):
            if one.namespace == namespace and wanted in (None, one.id):
                place = (namespace, one.id)
                written = self._batch.writes.get(place, {}) if self._batch else {}
                return as_tuple(one, {**written, **self._writes.get(place, {})}, config)
        return None

    def pause(self) -> None:
        """Say that the turn ends with a question: what the nodes of this step have done stays done."""
        self._paused = True

    async def flush(self) -> None:
        """Return once the newest checkpoint is stored. Raises StoreUnavailable, RunSuperseded, and what else went wrong.

        A graph within a node is stored as far as it is, and not begun anew: what the node, and nodes beside it, have said so
        far counts as said.
        """
        self._storing = True
        await self._settle(self._everything, self._patience.tries)

    async def __aenter__(self) -> "WriteBehind":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            [problem] = await asyncio.gather(self._end(self._finished_steps, 1), return_exceptions=True)
            if problem is not None and problem is not error:
                logger.warning("run %s: its last checkpoint is not stored: %r", self._run_id, problem)
            return
        try:
            if self._to_the_end is not None and not self._paused:
                await self._last_alone()
            if not self._handed_over():
                await self._end(self._everything if self._paused else self._finished_steps, self._patience.tries)
        except asyncio.CancelledError:
            await self._last_alone()
            if not self._handed_over():
                self._start(self._finished_steps)
                await self._last_alone()
            raise

    async def _end(self, batch: Callable[[], _Batch | None], tries: int) -> None:
        if self._storing:
            await self._settle(batch, tries)
        self._raise_problem()

    async def _last_alone(self) -> None:
        """Wait for what is being stored, and begin nothing behind it."""
        self._closing = True
        if self._task is not None:
            await asyncio.wait([self._task])

    def _handed_over(self) -> bool:
        """Leave it to the record of the run's end to store what is left, if that is one checkpoint of the whole graph.

        Anything else takes a statement of its own, and what it says of the log goes with that.
        """
        if self._to_the_end is None or self._paused or self._problem is not None or not self._storing:
            return False
        left = self._finished_steps()
        if left is None:
            return True
        if len(left.unsaved) > 1 or left.writes or left.unsaved[0].namespace or left.unsaved[0].chained:
            self._put_back(left)
            return False
        [last] = serialised(self._serde, left.unsaved, left.writes, left.progress).checkpoints
        self._to_the_end(last)
        return True

    async def _settle(self, batch: Callable[[], _Batch | None], tries: int) -> None:
        """Store until there is nothing left."""
        while True:
            self._raise_problem()
            self._start(batch)
            if self._task is None:
                return
            await asyncio.wait([self._task])
            if self._away is not None:
                tries -= 1
                if tries <= 0:
                    raise self._away
                await self._sleep(self._patience.retry_s)

    def _start(self, batch: Callable[[], _Batch | None]) -> None:
        """Begin to store, unless that is under way or there is nothing to store."""
        if self._task is None and self._problem is None:
            self._batch = batch()
            if self._batch is not None:
                self._task = asyncio.get_running_loop().create_task(self._save(self._batch))
                self._task.add_done_callback(self._saved)

    async def _save(self, batch: _Batch) -> None:
        # Serialised first, while nothing of the next step has been executed.
        kept = serialised(self._serde, batch.unsaved, batch.writes, batch.progress)
        rows = self._log.unstored()
        await self._store.save(self._fence, replace(kept, rows=rows))
        self._log.confirm(rows)

    def _saved(self, task: "asyncio.Task[None]") -> None:
        batch, self._batch, self._task = self._batch, None, None
        error = None if task.cancelled() else task.exception()
        if not task.cancelled() and error is None:
            self._away = None
            self._is_all = False
            if self._done and not self._closing:
                self._start(self._finished_steps)
            return
        if isinstance(error, StoreUnavailable):
            self._away = error
            logger.warning("run %s: a checkpoint is not stored yet: %s", self._run_id, error)
        elif error is not None:
            self._problem = error
        if batch is not None:
            self._put_back(batch)

    def _put_back(self, batch: _Batch) -> None:
        self._done = reduce(with_newest, [*batch.unsaved, *self._done], [])
        self._writes = {**batch.writes, **self._writes}
        if batch.progress.event_id > self._progress.event_id:
            self._progress = batch.progress

    def _finished_steps(self) -> _Batch | None:
        """Take what the steps that are over have left to store."""
        return self._taken([], self._progress)

    def _everything(self) -> _Batch | None:
        """Take all there is to store, also of the step at work."""
        within, self._within = self._within, []
        return self._taken(within, self._within_progress if within else self._progress)

    def _taken(self, within: Sequence[Unsaved], progress: Progress) -> _Batch | None:
        unsaved = reduce(with_newest, within, self._done)
        chained = {(one.namespace, one.parent_id) for one in unsaved if one.chained}
        writes = {place: self._writes.pop(place) for place in list(self._writes) if self._paused or place in chained}
        if not unsaved and not writes:
            return None
        self._done = []
        return _Batch(unsaved=unsaved, writes=writes, progress=self._now() if self._paused else progress)

    def _drop_writes_before(self, new: Unsaved) -> None:
        """Forget what was written towards a checkpoint, unless that is rebuilt from it."""
        for namespace, checkpoint_id in list(self._writes):
            same = namespace == new.namespace and checkpoint_id != new.id and not new.chained
            if same or (":" in namespace and not new.namespace):
                del self._writes[namespace, checkpoint_id]

    def _raise_problem(self) -> None:
        if self._problem is not None:
            raise self._problem


def _is_at_rest(checkpoint: Checkpoint) -> bool:
    """Whether nothing follows a checkpoint. Where that is not known, it is False."""
    return not any(name.startswith(_TRIGGERS) for name in checkpoint["channel_values"])
