"""What the cluster's Postgres holds, asked past the cluster."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from deployments.launch.database import existing_url
from deployments.launch.options import Options
from tests.e2e.launching import Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A run on record; `began_at` is when an agent first took it, None where none did."""

    id: UUID
    status: str
    began_at: datetime | None
    ended_at: datetime | None


@asynccontextmanager
async def connected(served: Served) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Open the embedded database."""
    connection = await asyncpg.connect(existing_url(Options.from_environ(served.environ), {}))
    try:
        yield connection
    finally:
        await connection.close()


async def unended(served: Served) -> int:
    """Return how many runs have not ended."""
    async with connected(served) as connection:
        return int(await connection.fetchval("SELECT count(*) FROM runs WHERE finished_at IS NULL"))


async def runs_of(served: Served, thread_id: str) -> Sequence[Row]:
    """Return the runs of a thread, in the order in which they were taken in."""
    async with connected(served) as connection:
        rows = await connection.fetch(
            "SELECT id, status, started_at, finished_at FROM runs WHERE thread_id = $1 ORDER BY created_at, id",
            UUID(thread_id),
        )
    return [Row(id=row[0], status=row[1], began_at=row[2], ended_at=row[3]) for row in rows]


def overlapping(runs: Sequence[Row]) -> list[UUID]:
    """Return the runs that began before one that had begun earlier had ended."""
    taken = sorted(
        (row.began_at, row.ended_at, row.id) for row in runs if row.began_at is not None and row.ended_at is not None
    )
    return [
        run_id
        for at, (began_at, _, run_id) in enumerate(taken)
        if any(ended_at > began_at for _, ended_at, _ in taken[:at])
    ]
