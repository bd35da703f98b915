"""What the life of a run stands on, as protocols: Postgres and the agent replicas in production, memory in unit tests."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.events import EventBatch
from services.runs.checkpoints import KeptCheckpoint
from services.runs.log_writer import EventLog, LogRow
from services.types import (
    CancelAction,
    Cancellation,
    Claim,
    EventId,
    Message,
    Principal,
    Run,
    RunOutcome,
    RunStatus,
    RunTicket,
    Submission,
    Thread,
)

PLAIN = Submission()
"""Of a request that asks for nothing beside the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A run as it was taken in: `pending` for an agent to be sent its ticket, or `queued` for agents to take by themselves.

    `existing` says that it is an earlier one, which the same idempotency key asked for: it may have ended long ago.
    """

    run_id: UUID
    status: RunStatus
    existing: bool = False


class RunStore(Protocol):
    """Runs as the ingress needs them. Every method raises StoreUnavailable when the store cannot be reached in time."""

    async def create(self, run: Run, submission: Submission = PLAIN) -> Created:
        """Store a run, its input messages and, with `run.new_thread`, its thread, in one transaction.

        It is pending, or queued when it is a background run or its thread has one that has not ended: see `Multitask`.
        Without `new_thread` the thread must exist: raises NotFound when it does not, or belongs to another user or tenant
        (the two look the same), and ThreadBusy when the strategy is to reject. Raises IdempotencyMismatch for a key that
        asked for something else within the last 24 hours.
        """
        ...

    async def position(self, run: Run) -> int | None:
        """Return how many queued runs would be taken before this one, None when it is not queued."""
        ...

    async def finish(self, run: Run, outcome: RunOutcome) -> RunStatus:
        """Write how a run ended that no agent ends, in one transaction, and return its status as it now stands.

        Of several outcomes the first written decides status, reason and failure. The others are not lost: the largest
        usage is the bill, whoever closed the run, and the first outcome that carries messages gives them. Of a run that
        was erased meanwhile only the bill can be kept, and the status returned is the outcome's.
        """
        ...

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        """Return a run of the principal's. Raises NotFound."""
        ...

    async def cancel(self, run_id: UUID, action: CancelAction, reason: str) -> None:
        """Have a run stopped by its owner, who is woken; one that nobody owns ends at once. One that is over stays so.

        A rollback holds however the run ends after it.
        """
        ...

    async def suspect(self, run_id: UUID) -> None:
        """Say that the run's owner seems to be gone: it is given until its next heartbeat is due to show that it is not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """`ended` is set once the run has ended and no stored event follows these: what the store says of its end."""

    batches: tuple[EventBatch, ...]
    ended: Run | None = None


class Admission(Protocol):
    """What a run must be granted before it is taken in: places and rates of its user and its tenant."""

    async def admit(self, run: Run) -> None:
        """Grant the run, or raise RateLimitExceeded or ConcurrencyLimitExceeded, and grant nothing."""
        ...

    async def idle(self, run: Run) -> None:
        """Take back its place: it is not at work now."""
        ...

    async def unused(self, run: Run) -> None:
        """Take back all that it was granted, but that it was asked for: there is no such run."""
        ...


class RunLog(Protocol):
    """The event log as it is read, by whichever ingress a client came to. Every method raises StoreUnavailable."""

    async def read(self, positions: Mapping[UUID, EventId | None]) -> Mapping[UUID, LogPage]:
        """Return of each run the next events after its position, some at a time, and whether there will be more.

        A run that does not exist has no page.
        """
        ...

    async def watch(self, run_ids: Collection[UUID]) -> None:
        """Say that somebody reads these runs as they go on: such a run is not stopped for want of a reader."""
        ...


class OwnedRuns(EventLog, Protocol):
    """Runs as the agent replica that has taken them needs them: what it writes holds while its fence does.

    Every method raises StoreUnavailable. `lease` is the replica's.
    """

    async def claim(self, run_id: UUID, lease: UUID) -> Claim:
        """Take a pending run. Raises NotFound when there is none."""
        ...

    async def finish(
        self, claim: Claim, outcome: RunOutcome, rows: Sequence[LogRow], last: KeptCheckpoint | None = None
    ) -> RunStatus:
        """Write how the run ended, its last events and checkpoint, in one transaction, and return its status as it now stands.

        Where the run has ended already its end stays as it is, and neither its `last` checkpoint nor the events are stored; the
        usage and the messages are, as for `RunStore.finish`. Raises RunSuperseded, and stores nothing, when it was taken over.
        """
        ...

    async def watched(self, run_id: UUID, within_s: float) -> bool:
        """Whether somebody has read the run's log as it grew during the last so many seconds."""
        ...


class Leases(Protocol):
    """Which agent replicas are alive. Every method raises StoreUnavailable."""

    async def beat(self, lease: UUID, ttl_s: float) -> Sequence[Cancellation]:
        """Hold the lease for another `ttl_s`, and return which of its runs somebody wants stopped."""
        ...

    async def take_over(self, lease: UUID, *, limit: int, pickup_s: float, settle_s: float) -> Sequence[Claim]:
        """Take runs whose owner's lease is over, and pending ones for which no agent has come in `pickup_s`.

        Several replicas may do so at once: each run goes to one of them. None is taken in the first `settle_s` of a store
        that has just started, for it has not heard from anybody yet. Whoever holds no lease takes nothing.
        """
        ...

    async def take_queued(self, lease: UUID, *, limit: int, background: bool) -> Sequence[Claim]:
        """Take queued runs whose thread is free and whose turn it is, background ones only if asked for.

        What a client waits for goes first; then whose tenant has the fewest runs at work; then the lowest priority; then the
        oldest. Several replicas may do so at once: each run goes to one of them, and a thread never has two. Whoever holds no
        lease takes nothing.
        """
        ...

    async def take_back(self, lease: UUID, *, held: Collection[UUID], begun_before_s: float) -> Sequence[Claim]:
        """Take anew the lease's own runs that are not `held`: they were given to its replica, and it was not told.

        So it is when the connection breaks before the answer comes. Runs that began in the last `begun_before_s` are left
        alone, for the answer may be on its way.
        """
        ...

    async def release(self, lease: UUID) -> None:
        """Give the lease up at once: whatever runs it still has are others' to take."""
        ...


class ThreadStore(Protocol):
    async def get(self, principal: Principal, thread_id: UUID) -> Thread:
        """Return a thread of the principal's. Raises NotFound."""
        ...

    async def list(self, principal: Principal, *, limit: int, before: UUID | None = None) -> Sequence[Thread]:
        """Return threads that are not ephemeral, newest first; `before` continues behind that thread."""
        ...

    async def messages(self, principal: Principal, thread_id: UUID, *, limit: int) -> Sequence[Message]:
        """Return the last `limit` messages, oldest first. Raises NotFound.

        What a run added that failed or was cancelled is `incomplete`: it may have been cut off anywhere.
        """
        ...

    async def delete(self, principal: Principal, thread_id: UUID) -> None:
        """Erase a thread with all its runs, queued ones too. Raises NotFound, and ThreadBusy while one is at work."""
        ...


class Agent(Protocol):
    """The agent replicas, seen from the ingress."""

    def execute(self, ticket: RunTicket) -> AsyncGenerator[EventBatch, None]:
        """Run a pending run and stream its events, RunStarted first and one terminal event last.

        Closing the iterator is a *detach*: the run goes on for its grace time. Raises Overloaded when no replica has
        room, NotFound when the run is not pending any more, and AgentLost when the stream breaks: the run may go on
        without it.
        """
        ...
