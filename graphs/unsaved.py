"""What of a run is not stored yet: its checkpoints and writes as LangGraph gives them, and how they are serialised.

Values are kept as they are until they are stored: as everywhere in LangGraph, a state's values are replaced, never changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from services.runs.checkpoints import ChannelValue, Kept, KeptCheckpoint, KeptWrite
from services.types import Progress

Place = tuple[str, str]
"""The namespace and the id of a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsaved:
    """A checkpoint that is not stored yet. `new_versions` are of the channels whose values may not be stored yet either."""

    namespace: str
    checkpoint: Checkpoint
    parent_id: str | None
    metadata: CheckpointMetadata
    new_versions: ChannelVersions

    @property
    def id(self) -> str:
        return self.checkpoint["id"]

    @property
    def chained(self) -> bool:
        """Whether it holds a delta channel, which is rebuilt from the checkpoints before it and the writes on these."""
        return "counters_since_delta_snapshot" in self.metadata

    @property
    def in_a_task(self) -> bool:
        """Whether it is of a graph within a node, and of no use any more once the node has finished."""
        return ":" in self.namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    task_path: str
    channel: str
    value: Any


Writes = dict[Place, dict[tuple[str, int], Write]]
"""What tasks wrote towards the step after a checkpoint: by checkpoint, and by task and index."""


def with_newest(unsaved: Sequence[Unsaved], new: Unsaved) -> list[Unsaved]:
    """Return what is to be stored now that there is `new`: of each namespace the newest, with the values of those before it.

    A checkpoint of the whole graph says that its step is over, and with it the work of the graphs within its nodes.
    """
    rest = [one for one in unsaved if new.namespace or not one.in_a_task]
    replaced = [one for one in rest if one.namespace == new.namespace]
    if not replaced or new.chained:
        return [*rest, new]
    versions: ChannelVersions = {}
    for one in (*replaced, new):
        versions |= one.new_versions
    merged = replace(new, parent_id=replaced[0].parent_id, new_versions=versions)
    return [*(one for one in rest if one.namespace != new.namespace), merged]


def add_writes(writes: Writes, place: Place, task_id: str, task_path: str, new: Sequence[tuple[str, Any]]) -> None:
    """Add what a task wrote. What it wrote first stays, but for questions, answers and errors, of which the last counts."""
    of_place = writes.setdefault(place, {})
    for position, (channel, value) in enumerate(new):
        key = (task_id, WRITES_IDX_MAP.get(channel, position))
        if channel in WRITES_IDX_MAP or key not in of_place:
            of_place[key] = Write(task_path=task_path, channel=channel, value=value)


def as_tuple(one: Unsaved, writes: Mapping[tuple[str, int], Write], config: RunnableConfig) -> CheckpointTuple:
    """Return a checkpoint as LangGraph reads it, in the thread of `config`."""
    within = {**config["configurable"], "checkpoint_ns": one.namespace}
    ordered = sorted(writes.items(), key=lambda item: (item[1].task_path, *item[0]))
    values = one.checkpoint["channel_values"]
    return CheckpointTuple(
        config={"configurable": {**within, "checkpoint_id": one.id}},
        # LangGraph goes on with what it reads, and changes it.
        checkpoint={**one.checkpoint, "channel_values": dict(values), "channel_versions": dict(_versions(one))},
        metadata=one.metadata,
        parent_config={"configurable": {**within, "checkpoint_id": one.parent_id}} if one.parent_id else None,
        pending_writes=[(task_id, write.channel, write.value) for (task_id, _), write in ordered],
    )


def serialised(serde: SerializerProtocol, unsaved: Iterable[Unsaved], writes: Writes, progress: Progress) -> Kept:
    """Return it all as it is stored."""
    return Kept(
        checkpoints=[_kept(serde, one) for one in unsaved],
        writes=[
            _kept_write(serde, place, key, write) for place, items in writes.items() for key, write in items.items()
        ],
        progress=progress,
    )


def _kept(serde: SerializerProtocol, one: Unsaved) -> KeptCheckpoint:
    values, versions = one.checkpoint["channel_values"], _versions(one)
    kind, body = serde.dumps_typed({name: part for name, part in one.checkpoint.items() if name != "channel_values"})
    return KeptCheckpoint(
        namespace=one.namespace,
        id=one.id,
        parent_id=one.parent_id,
        versions=versions,
        type=kind,
        body=body,
        metadata=dict(one.metadata),
        values=tuple(
            _kept_value(serde, channel, versions[channel], values[channel])
            for channel in one.new_versions
            if channel in values
        ),
        chained=one.chained,
    )


def _kept_value(serde: SerializerProtocol, channel: str, version: str, value: Any) -> ChannelValue:
    kind, body = serde.dumps_typed(value)
    return ChannelValue(channel=channel, version=version, type=kind, body=body)


def _kept_write(serde: SerializerProtocol, place: Place, key: tuple[str, int], write: Write) -> KeptWrite:
    kind, body = serde.dumps_typed(write.value)
    return KeptWrite(
        namespace=place[0],
        checkpoint_id=place[1],
        task_id=key[0],
        task_path=write.task_path,
        index=key[1],
        channel=write.channel,
        type=kind,
        body=body,
    )


def _versions(one: Unsaved) -> dict[str, str]:
    return {channel: str(version) for channel, version in one.checkpoint["channel_versions"].items()}
