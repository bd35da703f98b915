"""What the life of a run stands on, as protocols: Postgres and the agent replicas in production, memory in unit tests."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol
from uuid import UUID

from services.types import EventBatch, Message, Principal, Run, RunOutcome, RunStatus, RunTicket, Thread


class RunStore(Protocol):
    """Where runs live. Every method raises StoreUnavailable when the store cannot be reached in time."""

    async def create(self, run: Run) -> None:
        """Store a pending run, its input messages and, with `run.new_thread`, its thread, in one transaction.

        Without `new_thread` the thread must exist: raises NotFound when it does not, or belongs to another user or tenant
        (the two look the same), and ThreadBusy when it has a live run.
        """
        ...

    async def start(self, run_id: UUID) -> Run:
        """Mark the run as running and return it. Raises NotFound when there is no such pending run."""
        ...

    async def finish(self, run: Run, outcome: RunOutcome) -> RunStatus:
        """Write how the run ended, in one transaction, and return its status as it now stands in the store.

        Of several outcomes the first written decides status, reason and failure. The others are not lost: the largest
        usage is the bill, whoever closed the run, and the first outcome that carries messages gives them. Of a run that
        was erased meanwhile only the bill can be kept, and the status returned is the outcome's.
        """
        ...

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        """Return a run of the principal's. Raises NotFound."""
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
        """Erase a thread with its runs, messages and checkpoints. Raises NotFound, and ThreadBusy while it runs."""
        ...


class Agent(Protocol):
    """The agent replicas, seen from the ingress."""

    def execute(self, ticket: RunTicket) -> AsyncIterator[EventBatch]:
        """Run a stored run and stream its events, RunStarted first and one terminal event last.

        Closing the iterator is a *detach*: the run goes on for its grace time. Raises Overloaded when no replica has
        room and AgentLost when the replica dies.
        """
        ...

    async def cancel(self, run_id: UUID, reason: str) -> None:
        """Stop a run, wherever it is executed, and return once its end is recorded.

        A run that is over, or that no replica has begun, is left alone.
        """
        ...
