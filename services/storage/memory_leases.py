"""Leases and the reading of the log, in memory; see the repositories in Postgres for what each method raises."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from uuid import UUID

from services.runs.ports import LogPage
from services.storage.memory_tables import Lease, MemoryTables, RunRow
from services.storage.run_log import PAGE_ROWS, batch_after
from services.types import Cancellation, Claim, EventId, RunStatus


class MemoryLeases:
    """`services.runs.ports.Leases` in memory."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def beat(self, lease: UUID, ttl_s: float) -> Sequence[Cancellation]:
        now = self._tables.now()
        self._tables.leases[lease] = Lease(beat_at=now, expires_at=now + timedelta(seconds=ttl_s))
        return [
            Cancellation(run_id=row.run.id, action=row.cancel_action, reason=row.run.cancel_reason or "cancelled")
            for row in self._running()
            if row.owner == lease and row.cancel_action is not None
        ]

    async def take_over(self, lease: UUID, *, limit: int, pickup_s: float, settle_s: float) -> Sequence[Claim]:
        now = self._tables.now()
        if self._tables.started_at >= now - timedelta(seconds=settle_s) or not self._holds(lease):
            return []
        lost = [row for row in self._running() if not self._holds(row.owner)]
        untaken = [
            row
            for row in self._tables.runs.values()
            if row.run.status is RunStatus.PENDING and row.created_at < now - timedelta(seconds=pickup_s)
        ]
        taken = sorted([*lost, *untaken], key=lambda row: row.age)[:limit]
        for row in taken:
            row.crashes += row.run.status is RunStatus.RUNNING
        return [self._tables.claim(row, lease) for row in taken]

    async def take_queued(self, lease: UUID, *, limit: int, background: bool) -> Sequence[Claim]:
        if not self._holds(lease):
            return []
        ready = [
            row
            for row in self._tables.runs.values()
            if row.queued and (background or not row.run.background) and self._is_next(row)
        ]
        return [self._tables.claim(row, lease) for row in islice(self._tables.turns(ready), limit)]

    async def take_back(self, lease: UUID, *, held: Collection[UUID], begun_before_s: float) -> Sequence[Claim]:
        since = self._tables.now() - timedelta(seconds=begun_before_s)
        unknown = [
            row
            for row in self._running()
            if row.owner == lease and row.run.id not in held and row.run.started_at and row.run.started_at < since
        ]
        for row in unknown:
            row.crashes += 1
        return [self._tables.claim(row, lease) for row in unknown]

    async def release(self, lease: UUID) -> None:
        held = self._tables.leases.get(lease)
        if held is None:
            return
        self._tables.leases[lease] = replace(held, expires_at=self._tables.now())
        if any(row.owner == lease for row in self._running()):
            self._tables.notify("queued")

    def _running(self) -> list[RunRow]:
        return [row for row in self._tables.runs.values() if row.run.status is RunStatus.RUNNING]

    def _holds(self, lease: UUID | None) -> bool:
        held = None if lease is None else self._tables.leases.get(lease)
        return held is not None and held.expires_at >= self._tables.now()

    def _is_next(self, row: RunRow) -> bool:
        """Whether its thread is free, and no other queued run of it is older."""
        others = [other for other in self._tables.of_thread(row.run.thread_id) if other is not row]
        return not any(other.live or (other.queued and other.age < row.age) for other in others)


class MemoryRunLog:
    """`services.runs.ports.RunLog` in memory."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def read(self, positions: Mapping[UUID, EventId | None]) -> Mapping[UUID, LogPage]:
        rows = {run_id: self._tables.runs.get(run_id) for run_id in positions}
        return {run_id: _page(row, positions[run_id]) for run_id, row in rows.items() if row is not None}

    async def watch(self, run_ids: Collection[UUID]) -> None:
        for run_id in run_ids:
            row = self._tables.runs.get(run_id)
            if row is not None and row.unended:
                row.watched_at = self._tables.now()


def _page(row: RunRow, position: EventId | None) -> LogPage:
    after = (position.attempt, position.seq) if position else (0, -1)
    places = sorted(place for place in row.log if place > after)[:PAGE_ROWS]
    over = not row.unended and len(places) < PAGE_ROWS
    return LogPage(
        batches=tuple(batch_after(position, place[0], *row.log[place]) for place in places),
        ended=replace(row.run, messages=()) if over else None,
    )
