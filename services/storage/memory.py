"""The stores in memory, for unit tests and for a laptop without a database: the same contract, and nothing survives.

One `MemoryStore` stands for one database; its fields are its repositories. Per process, unbounded. It has no checkpoints, so
a rollback has none to erase.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from services.storage.memory_effects import MemoryEffects
from services.storage.memory_keys import MemoryApiKeys, MemoryAuditTrail
from services.storage.memory_leases import MemoryLeases, MemoryRunLog
from services.storage.memory_runs import MemoryOwnedRuns, MemoryRuns
from services.storage.memory_tables import MemoryTables, is_owner
from services.storage.memory_traces import MemoryTraces
from services.storage.tenancy import busy
from services.types import Message, Principal, RunStatus, Thread

_UNFINISHED = {RunStatus.FAILED, RunStatus.CANCELLED}


class MemoryStore:
    """`notify` is called with what Postgres would send on the agents' channel."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.tables = MemoryTables(now, notify)
        self.runs = MemoryRuns(self.tables)
        self.owned_runs = MemoryOwnedRuns(self.tables)
        self.leases = MemoryLeases(self.tables)
        self.log = MemoryRunLog(self.tables)
        self.effects = MemoryEffects(self.tables.find)
        self.webhooks = self.tables.webhooks
        self.traces = MemoryTraces(self.tables.find)
        self.threads = MemoryThreads(self.tables)
        self.audit = MemoryAuditTrail(now)
        self.api_keys = MemoryApiKeys(self.audit)


class MemoryThreads:
    """`services.runs.ports.ThreadStore` in memory; see `ThreadRepository` for what each method raises."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def get(self, principal: Principal, thread_id: UUID) -> Thread:
        return self._tables.owned(principal, thread_id).thread

    async def list(self, principal: Principal, *, limit: int, before: UUID | None = None) -> Sequence[Thread]:
        conversations = self._tables.conversations.values()
        mine = [
            conversation.thread
            for conversation in conversations
            if not conversation.ephemeral and is_owner(principal, conversation.thread)
        ]
        mine.sort(key=lambda thread: (thread.created_at, thread.id), reverse=True)
        if before is not None:
            marks = [conversation.thread for conversation in conversations]
            mark = next((t for t in marks if t.id == before and is_owner(principal, t)), None)
            if mark is None:
                return []
            mine = [thread for thread in mine if (thread.created_at, thread.id) < (mark.created_at, mark.id)]
        return mine[:limit]

    async def messages(self, principal: Principal, thread_id: UUID, *, limit: int) -> Sequence[Message]:
        self._tables.owned(principal, thread_id)
        said: list[Message] = []
        for row in self._tables.of_thread(thread_id):
            unfinished = row.run.status in _UNFINISHED
            said += row.run.messages
            said += (replace(message, incomplete=unfinished) for message in row.answer)
        return said[max(0, len(said) - limit) :]

    async def delete(self, principal: Principal, thread_id: UUID) -> None:
        self._tables.owned(principal, thread_id)
        rows = self._tables.of_thread(thread_id)
        if any(row.live for row in rows):
            raise busy()
        gone = {row.run.id for row in rows}
        for run_id in gone:
            del self._tables.runs[run_id]
            self._tables.webhooks.rows.pop(run_id, None)
        for key, known in list(self._tables.keys.items()):
            if known.run_id in gone:
                del self._tables.keys[key]
        del self._tables.conversations[thread_id]
