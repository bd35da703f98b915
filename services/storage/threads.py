"""Threads in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, delete, exists, func, select, tuple_, update

from services.storage.database import Database
from services.storage.encoding import message_from, plain
from services.storage.tables import (
    LIVE_STATUSES,
    checkpoint_blobs,
    checkpoint_writes,
    checkpoints,
    messages,
    runs,
    threads,
)
from services.storage.tenancy import busy, missing, owned
from services.types import Message, Principal, Thread

_UNFINISHED = ("failed", "cancelled")


class ThreadRepository:
    """`services.runs.ports.ThreadStore` in Postgres. Every method raises StoreUnavailable when it cannot be reached."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, principal: Principal, thread_id: UUID) -> Thread:
        """Return a thread of the principal's. Raises NotFound."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_one(principal, thread_id))).mappings().one_or_none()
        if row is None:
            raise missing("thread", thread_id)
        return _thread(row)

    async def list(self, principal: Principal, *, limit: int, before: UUID | None = None) -> Sequence[Thread]:
        """Return at most `limit` threads that are not ephemeral, newest first.

        `before` continues behind that thread; when it is absent or another's there is nothing behind it.
        """
        order = tuple_(threads.c.created_at, threads.c.id)
        found = select(threads).where(owned(threads, principal), ~threads.c.ephemeral)
        if before is not None:
            mark = select(threads.c.created_at, threads.c.id).where(owned(threads, principal), threads.c.id == before)
            found = found.where(order < mark.scalar_subquery())
        found = found.order_by(threads.c.created_at.desc(), threads.c.id.desc()).limit(limit)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(found)).mappings().all()
        return [_thread(row) for row in rows]

    async def messages(self, principal: Principal, thread_id: UUID, *, limit: int) -> Sequence[Message]:
        """Return the last `limit` messages, oldest first, those that an unfinished run added marked so. Raises NotFound."""
        newest = (
            select(messages, and_(~messages.c.input, runs.c.status.in_(_UNFINISHED)).label("incomplete"))
            .join(runs, runs.c.id == messages.c.run_id)
            .where(runs.c.thread_id == thread_id, owned(runs, principal))
            .order_by(runs.c.created_at.desc(), runs.c.id.desc(), messages.c.position.desc())
            .limit(limit)
        )
        async with self._database.transaction() as connection:
            if (await connection.execute(_one(principal, thread_id))).one_or_none() is None:
                raise missing("thread", thread_id)
            rows = (await connection.execute(newest)).mappings().all()
        return [replace(message_from(row), incomplete=row["incomplete"]) for row in reversed(rows)]

    async def delete(self, principal: Principal, thread_id: UUID) -> None:
        """Erase a thread with its runs, messages, scores and checkpoints; only its usage stays, which holds no text.

        Queued runs go with it. Raises NotFound, and ThreadBusy while it has a live run.
        """
        live = select(exists().where(runs.c.thread_id == thread_id, runs.c.status.in_(LIVE_STATUSES)))
        queued = update(runs).where(runs.c.thread_id == thread_id, runs.c.status == "queued")
        async with self._database.transaction() as connection:
            # The lock keeps whoever creates a run, which locks this row, waiting until we are done.
            locked = await connection.execute(_one(principal, thread_id).with_for_update())
            if locked.one_or_none() is None:
                raise missing("thread", thread_id)
            # From here on no agent takes a queued one, and one that was taken is live.
            await connection.execute(queued.values(status="cancelled", finished_at=func.now()))
            if await connection.scalar(live):
                raise busy()
            for table in (checkpoint_writes, checkpoint_blobs, checkpoints):
                await connection.execute(delete(table).where(table.c.thread_id == str(thread_id)))
            await connection.execute(delete(threads).where(threads.c.id == thread_id))


def _one(principal: Principal, thread_id: UUID) -> Select[Any]:
    return select(threads).where(threads.c.id == thread_id, owned(threads, principal))


def _thread(row: Mapping[Any, Any]) -> Thread:
    return Thread(
        id=plain(row["id"]),
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        metadata=row["metadata"],
    )
