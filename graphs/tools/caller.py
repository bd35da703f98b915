"""What a tool may know of the call that it is called by: whose run makes it, and what the model had read. No model can say
otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from graphs.provenance import Seen
from services.types import Principal, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """One call. `brought_in` is what the tool says of its result: the origins of what in it comes from outside."""

    principal: Principal
    tainted_by: tuple[str, ...]
    brought_in: list[str] = field(default_factory=list)


_calling: ContextVar[Calling] = ContextVar("calling")


def caller() -> Principal:
    """Return whose run the call is made in. For tools, while they are called; raises LookupError anywhere else."""
    return _calling.get().principal


def tainted_by() -> tuple[str, ...]:
    """Return what from outside the model had read that asked for the call; nothing where it had read nothing. As `caller`."""
    return _calling.get().tainted_by


def bring_in(origin: str) -> None:
    """Say that the result of this call holds something from outside: for a tool whose results otherwise do not. As `caller`.

    Whoever takes a run over knows of a call that went by the ledger what it gave, not this: so it is for tools that read.
    """
    _calling.get().brought_in.append(origin)


@contextmanager
def called_in(run: Run, seen: Seen) -> Iterator[Calling]:
    """Make what is called within, and the tasks that are started there, a call of this run."""
    principal = Principal(tenant_id=run.tenant_id, user_id=run.user_id)
    calling = Calling(principal=principal, tainted_by=seen.tainted_by)
    token = _calling.set(calling)
    try:
        yield calling
    finally:
        _calling.reset(token)
