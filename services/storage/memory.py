"""The stores in memory, for unit tests and for a laptop without a database: the same contract, and nothing survives.

One `MemoryStore` stands for one database; `runs`, `threads` and `api_keys` are its repositories. Per process, unbounded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.errors import AgentLost
from services.security.keys import ApiKey
from services.storage.encoding import (
    input_columns,
    refuse_unstorable,
    storable_failure,
    storable_message,
)
from services.storage.tenancy import busy, missing
from services.types import Message, Principal, Run, RunOutcome, RunStatus, Thread, Usage

_LIVE = {RunStatus.PENDING, RunStatus.RUNNING}
_UNFINISHED = {RunStatus.FAILED, RunStatus.CANCELLED}


@dataclass(slots=True)
class _Conversation:
    thread: Thread
    ephemeral: bool
    runs: list[UUID] = field(default_factory=list)


class MemoryStore:
    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        conversations: dict[UUID, _Conversation] = {}
        runs: dict[UUID, Run] = {}
        answers: dict[UUID, tuple[Message, ...]] = {}
        self.runs = MemoryRuns(conversations, runs, answers, now)
        self.threads = MemoryThreads(conversations, runs, answers)
        self.api_keys = MemoryApiKeys()


class MemoryRuns:
    """`services.runs.ports.RunStore` in memory; see `RunRepository` for what each method raises."""

    def __init__(
        self,
        conversations: dict[UUID, _Conversation],
        runs: dict[UUID, Run],
        answers: dict[UUID, tuple[Message, ...]],
        now: Callable[[], datetime],
    ) -> None:
        self._conversations = conversations
        self._runs = runs
        self._answers = answers
        self._now = now

    async def create(self, run: Run) -> None:
        input_columns(run)  # refuses what Postgres would
        now = self._now()
        if run.new_thread:
            thread = Thread(
                id=run.thread_id, tenant_id=run.tenant_id, user_id=run.user_id, created_at=now, updated_at=now
            )
            self._conversations[run.thread_id] = _Conversation(thread=thread, ephemeral=run.ephemeral)
        principal = Principal(tenant_id=run.tenant_id, user_id=run.user_id)
        conversation = _owned(self._conversations, principal, run.thread_id)
        if conversation.ephemeral and not run.new_thread:
            raise missing("thread", run.thread_id)
        if _busy(conversation, self._runs):
            raise busy()
        conversation.thread = replace(conversation.thread, updated_at=now)
        conversation.runs.append(run.id)
        self._runs[run.id] = replace(run, status=RunStatus.PENDING, new_thread=False, created_at=now)

    async def start(self, run_id: UUID) -> Run:
        run = self._runs.get(run_id)
        if run is None or run.status is not RunStatus.PENDING:
            raise missing("run", run_id)
        self._runs[run_id] = replace(run, status=RunStatus.RUNNING, started_at=self._now())
        return self._runs[run_id]

    async def finish(self, run: Run, outcome: RunOutcome) -> RunStatus:
        if outcome.status in _LIVE:
            raise ValueError(f"{outcome.status} is not how a run ends")
        stored = self._runs.get(run.id)
        if stored is None or stored.tenant_id != run.tenant_id:
            return outcome.status
        if stored.status in _LIVE:
            stored = replace(
                stored,
                status=outcome.status,
                finished_at=self._now(),
                finish_reason=outcome.finish_reason,
                failure=storable_failure(outcome.failure),
                usage=outcome.usage,
            )
        self._runs[run.id] = replace(stored, usage=max(outcome.usage, stored.usage, key=_size))
        if not self._answers.get(run.id):
            self._answers[run.id] = tuple(storable_message(message) for message in outcome.messages)
        return stored.status

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        run = self._runs.get(run_id)
        if run is None or (run.tenant_id, run.user_id) != (principal.tenant_id, principal.user_id):
            raise missing("run", run_id)
        return run

    async def sweep(self, *, older_than_s: float) -> int:
        before = self._now() - timedelta(seconds=older_than_s)
        lost = [run for run in self._runs.values() if run.status in _LIVE and _began_at(run) < before]
        for run in lost:
            failure = AgentLost("The replica that ran this run was lost.").to_failure()
            self._runs[run.id] = replace(run, status=RunStatus.FAILED, finished_at=self._now(), failure=failure)
        return len(lost)


class MemoryThreads:
    """`services.runs.ports.ThreadStore` in memory; see `ThreadRepository` for what each method raises."""

    def __init__(
        self,
        conversations: dict[UUID, _Conversation],
        runs: dict[UUID, Run],
        answers: dict[UUID, tuple[Message, ...]],
    ) -> None:
        self._conversations = conversations
        self._runs = runs
        self._answers = answers

    async def get(self, principal: Principal, thread_id: UUID) -> Thread:
        return _owned(self._conversations, principal, thread_id).thread

    async def list(self, principal: Principal, *, limit: int, before: UUID | None = None) -> Sequence[Thread]:
        mine = [
            conversation.thread
            for conversation in self._conversations.values()
            if not conversation.ephemeral and _is_owner(principal, conversation.thread)
        ]
        mine.sort(key=lambda thread: (thread.created_at, thread.id), reverse=True)
        if before is not None:
            marks = [conversation.thread for conversation in self._conversations.values()]
            mark = next((t for t in marks if t.id == before and _is_owner(principal, t)), None)
            if mark is None:
                return []
            mine = [thread for thread in mine if (thread.created_at, thread.id) < (mark.created_at, mark.id)]
        return mine[:limit]

    async def messages(self, principal: Principal, thread_id: UUID, *, limit: int) -> Sequence[Message]:
        said: list[Message] = []
        for run_id in _owned(self._conversations, principal, thread_id).runs:
            run = self._runs[run_id]
            unfinished = run.status in _UNFINISHED
            said += run.messages
            said += (replace(message, incomplete=unfinished) for message in self._answers.get(run_id, ()))
        return said[max(0, len(said) - limit) :]

    async def delete(self, principal: Principal, thread_id: UUID) -> None:
        conversation = _owned(self._conversations, principal, thread_id)
        if _busy(conversation, self._runs):
            raise busy()
        for run_id in conversation.runs:
            del self._runs[run_id]
            self._answers.pop(run_id, None)
        del self._conversations[thread_id]


class MemoryApiKeys:
    """`services.security.keys.ApiKeyStore` in memory."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}

    async def add(self, key: ApiKey) -> None:
        refuse_unstorable((key.tenant_id, key.user_id, key.lookup, *key.scopes))
        self._keys[key.lookup] = key

    async def find(self, lookup: str) -> ApiKey | None:
        return self._keys.get(lookup)

    async def list(self, tenant_id: str) -> Sequence[ApiKey]:
        mine = [key for key in self._keys.values() if key.tenant_id == tenant_id]
        return sorted(mine, key=lambda key: (key.created_at, key.id), reverse=True)

    async def revoke(self, tenant_id: str, key_id: UUID, *, at: datetime) -> None:
        for key in self._keys.values():
            if key.id == key_id and key.tenant_id == tenant_id:
                self._keys[key.lookup] = replace(key, revoked_at=key.revoked_at or at)
                return
        raise missing("key", key_id)


def _began_at(run: Run) -> datetime:
    began_at = run.started_at or run.created_at
    if began_at is None:
        raise ValueError("a stored run has the time of its creation")
    return began_at


def _size(usage: Usage) -> tuple[int, int]:
    return usage.input_tokens + usage.output_tokens, usage.model_calls


def _is_owner(principal: Principal, thread: Thread) -> bool:
    return (thread.tenant_id, thread.user_id) == (principal.tenant_id, principal.user_id)


def _owned(conversations: dict[UUID, _Conversation], principal: Principal, thread_id: UUID) -> _Conversation:
    found = conversations.get(thread_id)
    if found is None or not _is_owner(principal, found.thread):
        raise missing("thread", thread_id)
    return found


def _busy(conversation: _Conversation, runs: dict[UUID, Run]) -> bool:
    return any(runs[run_id].status in _LIVE for run_id in conversation.runs)
