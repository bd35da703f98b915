"""What the tests of both ends of a shared stream speak of: two runs that one reader reads, and their batches."""

from uuid import UUID

from services.events import EventBatch, RunCompleted, RunEvent, TextDelta
from services.types import RunTicket, Usage

READER = UUID(int=7)
MINE, OTHER = UUID(int=1), UUID(int=2)
END = RunCompleted(finish_reason="stop", usage=Usage(), duration_s=0.0)


def ticket(run_id: UUID, reader: UUID | None = READER) -> RunTicket:
    return RunTicket(run_id=run_id, remaining_s=9.0, reader=reader)


def batch(first_seq: int, *events: RunEvent) -> EventBatch:
    return EventBatch(attempt=1, first_seq=first_seq, events=events or (TextDelta(text=f"{first_seq} "),))
