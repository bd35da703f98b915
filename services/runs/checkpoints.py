"""A run's checkpoints as they are stored: serialised by whoever knows the graph, and written by whoever knows the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.runs.logged_run import LogRow
from services.types import Fence, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelValue:
    """The value that a channel of a graph had at a version."""

    channel: str
    version: str
    type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCheckpoint:
    """A checkpoint, and those values of its channels that may not be stored yet; `versions` are of all its channels.

    `namespace` is "" for the graph itself, another for a graph within it. `metadata` names the run as `run_id`. A `chained`
    checkpoint cannot be read without those before it.
    """

    namespace: str
    id: str
    parent_id: str | None
    versions: Mapping[str, str]
    type: str
    body: bytes
    metadata: Mapping[str, Any]
    values: tuple[ChannelValue, ...]
    chained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWrite:
    """What a task wrote towards the checkpoint after this one. A negative `index` is that of a question or its answer."""

    namespace: str
    checkpoint_id: str
    task_id: str
    task_path: str
    index: int
    channel: str
    type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is stored of a run at one moment, how far the run had come then, and what of its log is stored with that.

    The log must hold what `progress` says has been said, or whoever reads the run from there would never see it.
    """

    checkpoints: Sequence[KeptCheckpoint]
    writes: Sequence[KeptWrite]
    progress: Progress
    rows: Sequence[LogRow] = ()


class CheckpointStore(Protocol):
    """Where the checkpoints of runs at work go. What a thread is read from is LangGraph's saver beside it.

    Of a run only the newest checkpoint of each namespace is kept, and of the run before it the last one, for as long as this
    run might have to be undone. Chained checkpoints are all kept.
    """

    async def save(self, fence: Fence, kept: Kept) -> None:
        """Store checkpoints with the run's progress and its log, all or none of it. The run counts as having progressed.

        Raises RunSuperseded, and stores nothing, once the run has ended or been taken over. Raises StoreUnavailable; saving
        the same again is then harmless.
        """
        ...
