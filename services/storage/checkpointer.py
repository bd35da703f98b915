"""LangGraph's checkpoints in Postgres, on the replica's own pool: a saver like any other, and what threads are read with.

Runs write theirs by `services.storage.run_checkpoints`, which knows whose turn it is.

A checkpoint's channel values are stored once per version, so what a step does not change is not written again. Each method
is one statement, so a checkpoint and its values appear together or not at all.

What is read back stays data: the serializer builds only the types it was told of, whatever the environment says, so bytes
planted in the database cannot import and call what they like. A thread's checkpoints carry the `tenant_id` of the config's
`configurable` ("" without one) and are found with the same one only.
"""

import secrets
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from services.errors import InvalidRequest
from services.storage import checkpoint_sql as sql
from services.storage.database import Database
from services.storage.encoding import to_json


class AsyncpgSaver(BaseCheckpointSaver[str]):
    """A LangGraph checkpointer for async graphs; the sync methods are not offered.

    `allowlist` names types of graph state beside LangGraph's and LangChain's own. Every method raises StoreUnavailable.
    """

    _newest = sql.LATEST

    def __init__(self, database: Database, *, allowlist: Collection[type] = ()) -> None:
        super().__init__(serde=JsonPlusSerializer(allowed_msgpack_modules=tuple(allowlist) or None))
        self._database = database

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that the config names, or the newest of its thread and namespace."""
        place = place_of(config)
        checkpoint_id = get_checkpoint_id(config)
        async with self._database.raw() as connection:
            if checkpoint_id:
                row = await connection.fetchrow(sql.EXACT, *place, checkpoint_id)
            else:
                row = await connection.fetchrow(self._newest, *place)
        return None if row is None else self._tuple(row)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # the base class's name for it
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, newest first. Raises InvalidRequest for a filter value that is not a scalar."""
        if not all(isinstance(value, str | int | float | bool | None) for value in (filter or {}).values()):
            raise InvalidRequest("Checkpoints can be filtered by texts, numbers, booleans and null only.")
        named = {} if config is None else config["configurable"]
        async with self._database.raw() as connection:
            rows = await connection.fetch(
                sql.LIST,
                named.get("thread_id"),
                named.get("checkpoint_ns"),
                named.get("tenant_id", ""),
                named.get("checkpoint_id"),
                None if before is None else get_checkpoint_id(before),
                to_json(filter or {}),
                limit,
            )
        for row in rows:
            yield self._tuple(row)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint with the channel values that are new in it; return the config that names it."""
        place = place_of(config)
        values = checkpoint["channel_values"]
        blobs = [
            (channel, str(version), *self.serde.dumps_typed(values[channel]))
            for channel, version in new_versions.items()
            if channel in values
        ]
        body = {name: part for name, part in checkpoint.items() if name != "channel_values"}
        kept = get_serializable_checkpoint_metadata(config, metadata)
        async with self._database.raw() as connection:
            await connection.execute(
                sql.PUT,
                *place,
                checkpoint["id"],
                get_checkpoint_id(config),
                list(checkpoint["channel_versions"]),
                [str(version) for version in checkpoint["channel_versions"].values()],
                *self.serde.dumps_typed(body),
                to_json(kept),
                *_columns(blobs, 4),
            )
        return config_of(*place, checkpoint["id"])

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote towards the next checkpoint. A task's writes are kept as they came first."""
        rows = [
            (WRITES_IDX_MAP.get(channel, index), channel, *self.serde.dumps_typed(value))
            for index, (channel, value) in enumerate(writes)
        ]
        special = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        async with self._database.raw() as connection:
            await connection.execute(
                sql.REPLACE_WRITES if special else sql.PUT_WRITES,
                *place_of(config),
                config["configurable"]["checkpoint_id"],
                task_id,
                task_path,
                *_columns(rows, 4),
            )

    async def adelete_thread(self, thread_id: str) -> None:
        """Erase all checkpoints of a thread."""
        async with self._database.raw() as connection:
            await connection.execute(sql.DELETE_THREADS, [thread_id])

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Erase the checkpoints whose metadata names one of the runs. Reads the whole table."""
        async with self._database.raw() as connection, connection.transaction():
            rows = await connection.fetch(sql.DELETE_FOR_RUNS, list(run_ids))
            await connection.execute(sql.DELETE_UNUSED_BLOBS, [row["thread_id"] for row in rows])

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with its whole history to a thread that has none, of the same tenant."""
        async with self._database.raw() as connection:
            await connection.execute(sql.COPY_THREAD, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the newest checkpoint of each namespace, or with "delete" none. Threads with delta channels keep all."""
        if strategy not in {"keep_latest", "delete"}:
            raise ValueError(f"strategy must be 'keep_latest' or 'delete', not {strategy!r}")
        async with self._database.raw() as connection, connection.transaction():
            if strategy == "delete":
                await connection.execute(sql.DELETE_THREADS, list(thread_ids))
            else:
                await connection.execute(sql.KEEP_LATEST, list(thread_ids))
                await connection.execute(sql.DELETE_UNUSED_BLOBS, list(thread_ids))

    def get_next_version(self, current: str | None, channel: None) -> str:
        return next_version(current)

    def _tuple(self, row: Mapping[str, Any]) -> CheckpointTuple:
        body = self.serde.loads_typed((row["type"], row["body"]))
        values = self._loaded(row["channels"], row["types"], row["bodies"])
        writes = self._loaded(row["write_channels"], row["write_types"], row["write_bodies"])
        pending: list[PendingWrite] = [
            (task_id, channel, value) for task_id, (channel, value) in zip(row["task_ids"] or (), writes, strict=True)
        ]
        place = (row["thread_id"], row["checkpoint_ns"], row["tenant_id"])
        return CheckpointTuple(
            config=config_of(*place, row["checkpoint_id"]),
            checkpoint=cast(Checkpoint, {**body, "channel_values": dict(values)}),
            metadata=row["metadata"],
            parent_config=config_of(*place, row["parent_id"]) if row["parent_id"] else None,
            pending_writes=pending,
        )

    def _loaded(
        self, channels: Iterable[str] | None, types: Iterable[str] | None, bodies: Iterable[bytes] | None
    ) -> list[tuple[str, Any]]:
        stored = zip(channels or (), types or (), bodies or (), strict=True)
        return [(channel, self.serde.loads_typed((type_, body))) for channel, type_, body in stored]


class ThreadReader(AsyncpgSaver):
    """Reads the threads that runs have written: they are never rewound, so the newest checkpoint is the one that is furthest
    on. By its id it may not be, for the next turn may run where clocks are behind.
    """

    _newest = sql.FURTHEST


def place_of(config: RunnableConfig) -> tuple[str, str, str]:
    """Return thread, namespace and tenant of a config."""
    named = config["configurable"]
    return str(named["thread_id"]), named.get("checkpoint_ns", ""), named.get("tenant_id", "")


def config_of(thread_id: str, checkpoint_ns: str, tenant_id: str, checkpoint_id: str) -> RunnableConfig:
    """Return the config that names a checkpoint."""
    named = {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns, "checkpoint_id": checkpoint_id}
    return {"configurable": {**named, "tenant_id": tenant_id} if tenant_id else named}


def next_version(current: str | None) -> str:
    """Return a higher version. Its random part keeps two branches of a thread from sharing values."""
    number = 0 if current is None else int(str(current).partition(".")[0])
    return f"{number + 1:032}.{secrets.token_hex(8)}"


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Return rows as columns, `width` empty ones where there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
