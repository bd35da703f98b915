"""Whose rows a principal may see, said once, with the refusals that go with it.

(`run_creation` repeats the condition in its statements, which are written as text.)
What is absent and what belongs to someone else are the same NotFound, word for word, so ids cannot be probed.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, Table, and_

from services.errors import NotFound, ThreadBusy
from services.types import Principal


def owned(table: Table, principal: Principal) -> ColumnElement[bool]:
    """Return the condition that a row of `table` is the principal's."""
    return and_(table.c.tenant_id == principal.tenant_id, table.c.user_id == principal.user_id)


def missing(kind: str, id_: UUID) -> NotFound:
    """Return the error for a `thread` or `run` that is absent or another's."""
    return NotFound(f"There is no {kind} {id_}.")


def busy() -> ThreadBusy:
    """Return the error for a thread that has a live run."""
    return ThreadBusy("The thread has a run that has not ended. Wait until it has ended.")
