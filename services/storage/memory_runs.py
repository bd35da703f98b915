"""Runs in memory as the ingress and the agents need them; see the repositories in Postgres for what each method raises."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from services.runs.checkpoints import KeptCheckpoint
from services.runs.log_writer import LogRow
from services.runs.ports import PLAIN, Created
from services.storage.checkpointer_memory import MemoryCheckpoints
from services.storage.encoding import storable_failure, storable_message
from services.storage.memory_tables import Conversation, Key, MemoryTables, RunRow, size
from services.storage.run_creation import (
    KEY_TTL_S,
    NEXT_TURN,
    STOPS,
    columns_of,
    refuse_unstorable_submission,
    reused,
)
from services.storage.run_end import refuse_unended, superseded
from services.storage.runs import LATE, NEVER_TAKEN, SUSPICION_S
from services.storage.tenancy import busy, missing
from services.types import (
    CancelAction,
    Claim,
    IdempotencyKey,
    Multitask,
    Principal,
    Run,
    RunOutcome,
    RunStatus,
    Submission,
    Thread,
)


class MemoryRuns:
    """`services.runs.ports.RunStore` in memory."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def create(self, run: Run, submission: Submission = PLAIN) -> Created:
        columns_of(run)  # refuses what Postgres would
        refuse_unstorable_submission(submission)
        principal = Principal(tenant_id=run.tenant_id, user_id=run.user_id)
        if not run.new_thread and self._tables.owned(principal, run.thread_id).ephemeral:
            raise missing("thread", run.thread_id)
        if submission.idempotency is not None:
            earlier = self._earlier(run, submission.idempotency)
            if earlier is not None:
                return earlier
        status = self._make_way(run, submission.multitask)
        self._store(run, status, submission)
        return Created(run_id=run.id, status=status)

    def _earlier(self, run: Run, idempotency: IdempotencyKey) -> Created | None:
        known = self._tables.keys.get((run.tenant_id, run.user_id, idempotency.key))
        if known is None or known.created_at < self._tables.now() - timedelta(seconds=KEY_TTL_S):
            return None
        if known.digest != idempotency.digest:
            raise reused()
        return Created(run_id=known.run_id, status=self._tables.runs[known.run_id].run.status, existing=True)

    def _make_way(self, run: Run, multitask: Multitask) -> RunStatus:
        """Do what the strategy says about the other runs of the thread, and return the status for this one."""
        others = self._unended(run.thread_id)
        if others and multitask is Multitask.REJECT:
            raise busy()
        if multitask in STOPS:
            self._tables.stop(others, STOPS[multitask], NEXT_TURN)
        waits = run.background or bool(self._unended(run.thread_id))
        return RunStatus.QUEUED if waits else RunStatus.PENDING

    def _unended(self, thread_id: UUID) -> list[RunRow]:
        return [row for row in self._tables.of_thread(thread_id) if row.unended]

    def _store(self, run: Run, status: RunStatus, submission: Submission) -> None:
        tables, now = self._tables, self._tables.now()
        if run.new_thread:
            thread = Thread(
                id=run.thread_id, tenant_id=run.tenant_id, user_id=run.user_id, created_at=now, updated_at=now
            )
            tables.conversations[run.thread_id] = Conversation(thread=thread, ephemeral=run.ephemeral)
        conversation = tables.conversations[run.thread_id]
        conversation.thread = replace(conversation.thread, updated_at=now)
        tables.runs[run.id] = RunRow(
            run=replace(run, status=status, new_thread=False, created_at=now, timeout_s=run.timeout_s or 0.0),
            created_at=now,
            deadline_at=now + timedelta(seconds=run.timeout_s or 0.0),
        )
        if submission.idempotency is not None:
            key = (run.tenant_id, run.user_id, submission.idempotency.key)
            tables.keys[key] = Key(digest=submission.idempotency.digest, run_id=run.id, created_at=now)
        if submission.webhook_url is not None:
            tables.webhooks.add(run, submission.webhook_url)
        if status is RunStatus.QUEUED and not any(row.live for row in tables.of_thread(run.thread_id)):
            tables.notify("queued")

    async def position(self, run: Run) -> int | None:
        mine = self._tables.runs.get(run.id)
        if mine is None or not mine.queued:
            return None
        order = list(self._tables.turns([row for row in self._tables.runs.values() if row.queued]))
        before = order[: order.index(mine)]
        in_thread = [row for row in order if row.run.thread_id == mine.run.thread_id and row.age < mine.age]
        others = [row for row in before if row.run.thread_id != mine.run.thread_id and row.run.background]
        return len(in_thread) + len(others)

    async def finish(self, run: Run, outcome: RunOutcome) -> RunStatus:
        return end_run(self._tables, run, outcome)

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        run = self._tables.find(run_id)
        if run is None or (run.tenant_id, run.user_id) != (principal.tenant_id, principal.user_id):
            raise missing("run", run_id)
        return run

    async def cancel(self, run_id: UUID, action: CancelAction, reason: str) -> None:
        row = self._tables.runs.get(run_id)
        if row is not None and row.unended:
            self._tables.stop([row], action, reason)

    async def suspect(self, run_id: UUID) -> None:
        row = self._tables.runs.get(run_id)
        if row is None or row.owner is None or row.run.status is not RunStatus.RUNNING:
            return
        lease = self._tables.leases.get(row.owner)
        if lease is not None:
            suspected_at = lease.beat_at + timedelta(seconds=SUSPICION_S)
            self._tables.leases[row.owner] = replace(lease, expires_at=min(lease.expires_at, suspected_at))

    async def sweep(self, *, overdue_s: float, queue_ttl_s: float) -> int:
        now = self._tables.now()
        swept = 0
        for row in self._tables.runs.values():
            in_background = row.queued and row.run.background
            since = row.created_at if in_background else row.deadline_at
            limit_s = queue_ttl_s if in_background else overdue_s
            if row.unended and since < now - timedelta(seconds=limit_s):
                self._tables.end(row, RunStatus.FAILED, failure=NEVER_TAKEN if in_background else LATE)
                swept += 1
        return swept

    async def queue_age_s(self) -> float:
        waiting = [row.created_at for row in self._tables.runs.values() if row.queued and row.run.background]
        return (self._tables.now() - min(waiting)).total_seconds() if waiting else 0.0


class MemoryOwnedRuns:
    """`services.runs.ports.OwnedRuns` in memory. The last checkpoints of runs go to `checkpoints`."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables
        self.checkpoints: MemoryCheckpoints | None = None

    async def claim(self, run_id: UUID, lease: UUID) -> Claim:
        row = self._tables.runs.get(run_id)
        if row is None or row.run.status is not RunStatus.PENDING:
            raise missing("run", run_id)
        return self._tables.claim(row, lease)

    async def finish(
        self, claim: Claim, outcome: RunOutcome, rows: Sequence[LogRow], last: KeptCheckpoint | None = None
    ) -> RunStatus:
        row = self._tables.runs.get(claim.run.id)
        ends_now = row is not None and row.unended
        status = end_run(self._tables, claim.run, outcome, attempt=claim.run.attempt, rows=rows)
        if ends_now and last is not None and self.checkpoints is not None:
            self.checkpoints.keep(claim.run, [last])
        return status

    async def append(self, rows: Sequence[LogRow]) -> Collection[UUID]:
        refused = set()
        for row in rows:
            of_run = self._tables.runs.get(row.fence.run_id)
            if of_run is None or not of_run.unended or of_run.run.attempt != row.fence.attempt:
                refused.add(row.fence.run_id)
            else:
                of_run.log.setdefault((row.fence.attempt, row.seq), (row.first_seq, row.body))
        return refused

    async def watched(self, run_id: UUID, within_s: float) -> bool:
        row = self._tables.runs.get(run_id)
        since = self._tables.now() - timedelta(seconds=within_s)
        return row is not None and row.watched_at is not None and row.watched_at > since


def end_run(
    tables: MemoryTables, run: Run, outcome: RunOutcome, *, attempt: int | None = None, rows: Sequence[LogRow] = ()
) -> RunStatus:
    """Write how a run ended, as `services.storage.run_end` does."""
    refuse_unended(outcome)
    row = tables.runs.get(run.id)
    if row is None or row.run.tenant_id != run.tenant_id:
        return outcome.status
    if attempt is not None and row.run.attempt != attempt:
        raise superseded(run, attempt)
    ended_now = row.unended
    if ended_now:
        failure = storable_failure(outcome.failure)
        tables.end(
            row,
            outcome.status,
            finish_reason=outcome.finish_reason,
            failure=failure,
            interrupts=outcome.interrupts,
        )
    row.run = replace(row.run, usage=max(outcome.usage, row.run.usage, key=size))
    if row.run.status is RunStatus.CANCELLED and row.cancel_action is CancelAction.ROLLBACK:
        return row.run.status
    if ended_now:
        for last in rows:
            row.log.setdefault((last.fence.attempt, last.seq), (last.first_seq, last.body))
    if not row.answer:
        row.answer = tuple(storable_message(message) for message in outcome.messages)
    return row.run.status
