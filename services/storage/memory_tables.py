"""What the stores in memory hold, and how a run ends there, which is the same whoever ends it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.errors import Failure
from services.storage.memory_webhooks import MemoryWebhooks
from services.storage.tenancy import missing
from services.types import (
    CancelAction,
    Claim,
    FinishReason,
    Interruption,
    Message,
    Principal,
    Progress,
    Run,
    RunStatus,
    Thread,
    Usage,
)

LIVE = frozenset({RunStatus.PENDING, RunStatus.RUNNING})


@dataclass(slots=True, kw_only=True)
class Conversation:
    thread: Thread
    ephemeral: bool


@dataclass(slots=True, kw_only=True)
class RunRow:
    """A run with what only the store knows of it. `log` holds first_seq and body by attempt and last seq."""

    run: Run
    created_at: datetime
    deadline_at: datetime
    owner: UUID | None = None
    crashes: int = 0
    progress: Progress | None = None
    watched_at: datetime | None = None
    cancel_action: CancelAction | None = None
    answer: tuple[Message, ...] = ()
    log: dict[tuple[int, int], tuple[int, bytes]] = field(default_factory=dict)

    @property
    def queued(self) -> bool:
        return self.run.status is RunStatus.QUEUED

    @property
    def live(self) -> bool:
        return self.run.status in LIVE

    @property
    def unended(self) -> bool:
        return not self.run.status.ended

    @property
    def age(self) -> tuple[datetime, UUID]:
        """What runs are ordered by, the oldest first."""
        return self.created_at, self.run.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    digest: bytes
    run_id: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    beat_at: datetime
    expires_at: datetime


class MemoryTables:
    """One database. `notify` is given what Postgres would send on the agents' channel."""

    def __init__(self, now: Callable[[], datetime], notify: Callable[[str], None]) -> None:
        self.now = now
        self.notify = notify
        self.started_at = now()
        self.conversations: dict[UUID, Conversation] = {}
        self.runs: dict[UUID, RunRow] = {}  # in the order of their creation
        self.keys: dict[tuple[str, str, str], Key] = {}
        self.webhooks = MemoryWebhooks(self.find, now=now)
        self.leases: dict[UUID, Lease] = {}

    def find(self, run_id: UUID) -> Run | None:
        """Return a run as it is stored."""
        row = self.runs.get(run_id)
        return None if row is None else row.run

    def owned(self, principal: Principal, thread_id: UUID) -> Conversation:
        """Return a thread of the principal's. Raises NotFound."""
        found = self.conversations.get(thread_id)
        if found is None or not is_owner(principal, found.thread):
            raise missing("thread", thread_id)
        return found

    def of_thread(self, thread_id: UUID) -> list[RunRow]:
        return [row for row in self.runs.values() if row.run.thread_id == thread_id]

    def end(
        self,
        row: RunRow,
        status: RunStatus,
        *,
        finish_reason: FinishReason | None = None,
        failure: Failure | None = None,
        interrupts: tuple[Interruption, ...] = (),
    ) -> None:
        """End a run, or roll it back if somebody was promised that."""
        was_stopped = row.run.status is RunStatus.RUNNING and row.cancel_action is not None
        row.run = replace(row.run, finished_at=self.now())
        if row.cancel_action is CancelAction.ROLLBACK:
            row.run = replace(row.run, status=RunStatus.CANCELLED, messages=())
            row.log.clear()
        else:
            row.run = replace(
                row.run, status=status, finish_reason=finish_reason, failure=failure, interrupts=interrupts
            )
        self.webhooks.ended(row.run.id)
        if was_stopped or any(other.queued for other in self.of_thread(row.run.thread_id)):
            self.notify("queued")

    def stop(self, rows: Sequence[RunRow], action: CancelAction, reason: str) -> None:
        """Have runs stopped by their owners; those that nobody owns end at once."""
        for row in rows:
            row.cancel_action = max(row.cancel_action or action, action)
            row.run = replace(row.run, cancel_reason=row.run.cancel_reason or reason)
            if row.run.status is RunStatus.RUNNING:
                self.notify("cancel")
            else:
                self.end(row, RunStatus.CANCELLED)

    def claim(self, row: RunRow, lease: UUID) -> Claim:
        """Give a run to the replica that holds the lease."""
        now = self.now()
        if row.queued and row.run.background:
            row.deadline_at += now - row.created_at
        row.owner = lease
        row.run = replace(
            row.run,
            status=RunStatus.RUNNING,
            started_at=row.run.started_at or now,
            attempt=row.run.attempt + 1,
        )
        remaining_s = max(0.0, (row.deadline_at - now).total_seconds())
        return Claim(run=row.run, remaining_s=remaining_s, crashes=row.crashes, progress=row.progress)

    def turns(self, queued: Sequence[RunRow]) -> Iterator[RunRow]:
        """Yield queued runs in the order of `run_queue`."""
        at_work = Counter(row.run.tenant_id for row in self.runs.values() if row.run.status is RunStatus.RUNNING)
        left = list(queued)
        while left:
            first = min(
                left, key=lambda row: (row.run.background, at_work[row.run.tenant_id], row.run.priority, row.age)
            )
            left.remove(first)
            at_work[first.run.tenant_id] += 1
            yield first


def is_owner(principal: Principal, thread: Thread) -> bool:
    return (thread.tenant_id, thread.user_id) == (principal.tenant_id, principal.user_id)


def size(usage: Usage) -> tuple[int, int]:
    """What bills are compared by."""
    return usage.input_tokens + usage.output_tokens, usage.model_calls
