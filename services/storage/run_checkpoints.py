"""The checkpoints of runs at work, in Postgres: each time one statement, which holds while the run's fence does."""

from collections.abc import Sequence
from typing import Any

from services.runs.checkpoints import ChannelValue, Kept, KeptCheckpoint, KeptWrite
from services.runs.logged_run import LogRow
from services.storage import run_checkpoint_sql as sql
from services.storage.database import Database
from services.storage.effects import refuse_superseded
from services.storage.encoding import progress_to_json, to_json
from services.types import Fence


class RunCheckpointRepository:
    """`services.runs.checkpoints.CheckpointStore` in Postgres. Threads are read with `checkpointer.ThreadReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, fence: Fence, kept: Kept) -> None:
        usual = _usual(kept)
        statement, values = _all(kept) if usual is None else (sql.SAVE_ONE, one_checkpoint(usual))
        run = (fence.run_id, fence.attempt, progress_to_json(kept.progress), *_row_columns(kept.rows))
        async with self._database.raw() as connection:
            held = await connection.fetchval(statement, *run, *values)
        refuse_superseded(fence, held=bool(held))


def _usual(kept: Kept) -> KeptCheckpoint | None:
    """Return the one checkpoint of the whole graph that there usually is, None where there is more or another."""
    one = kept.checkpoints[0] if len(kept.checkpoints) == 1 else None
    return None if one is None or one.namespace or one.chained or kept.writes else one


def one_checkpoint(one: KeptCheckpoint) -> list[Any]:
    """Return the parameters of `run_checkpoint_sql.one`."""
    return [
        one.id,
        one.parent_id,
        list(one.versions),
        list(one.versions.values()),
        one.type,
        one.body,
        to_json(dict(one.metadata)),
        *_value_columns(one.values),
    ]


def _all(kept: Kept) -> tuple[str, list[Any]]:
    namespaces = [checkpoint.namespace for checkpoint in kept.checkpoints for _ in checkpoint.values]
    values = [value for checkpoint in kept.checkpoints for value in checkpoint.values]
    return sql.SAVE_ALL, [
        *_checkpoint_columns(kept.checkpoints),
        namespaces,
        *_value_columns(values),
        *_write_columns(kept.writes),
    ]


def _row_columns(rows: Sequence[LogRow]) -> list[list[Any]]:
    return [[row.first_seq for row in rows], [row.seq for row in rows], [row.body for row in rows]]


def _checkpoint_columns(checkpoints: Sequence[KeptCheckpoint]) -> list[list[Any]]:
    return [
        [checkpoint.namespace for checkpoint in checkpoints],
        [checkpoint.id for checkpoint in checkpoints],
        [checkpoint.parent_id for checkpoint in checkpoints],
        [to_json(dict(checkpoint.versions)) for checkpoint in checkpoints],
        [checkpoint.type for checkpoint in checkpoints],
        [checkpoint.body for checkpoint in checkpoints],
        [to_json(dict(checkpoint.metadata)) for checkpoint in checkpoints],
        [checkpoint.chained for checkpoint in checkpoints],
    ]


def _value_columns(values: Sequence[ChannelValue]) -> list[list[Any]]:
    return [
        [value.channel for value in values],
        [value.version for value in values],
        [value.type for value in values],
        [value.body for value in values],
    ]


def _write_columns(writes: Sequence[KeptWrite]) -> list[list[Any]]:
    return [
        [write.namespace for write in writes],
        [write.checkpoint_id for write in writes],
        [write.task_id for write in writes],
        [write.task_path for write in writes],
        [write.index for write in writes],
        [write.channel for write in writes],
        [write.type for write in writes],
        [write.body for write in writes],
    ]
