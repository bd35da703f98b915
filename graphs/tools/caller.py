"""Whose run makes a call: for tools that keep something for the user they work for. No model can say otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from services.types import Principal, Run

_caller: ContextVar[Principal] = ContextVar("caller")


def caller() -> Principal:
    """Return whose run the call is made in. For tools, while they are called; raises LookupError anywhere else."""
    return _caller.get()


@contextmanager
def called_in(run: Run) -> Iterator[None]:
    """Make what is called within, and the tasks that are started there, a call of this run."""
    token = _caller.set(Principal(tenant_id=run.tenant_id, user_id=run.user_id))
    try:
        yield
    finally:
        _caller.reset(token)
