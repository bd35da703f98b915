"""For whom the work is done that a line in the log is about: set once for a request or a run, and read by lines only."""

import contextvars
from dataclasses import dataclass, replace
from uuid import UUID

from services.types import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class LogContext:
    """What is not known, or not there, is empty. The tenant's name does not get into the log: see `services.telemetry.logs`."""

    run_id: UUID | None = None
    thread_id: UUID | None = None
    tenant_id: str = ""
    request_id: str = ""
    trace_id: str = ""

    @classmethod
    def of(cls, run: Run, trace_id: str = "") -> "LogContext":
        return cls(
            run_id=run.id,
            thread_id=run.thread_id,
            tenant_id=run.tenant_id,
            request_id=run.request_id or "",
            trace_id=trace_id,
        )


_NOBODY = LogContext()
_context: contextvars.ContextVar[LogContext] = contextvars.ContextVar("log_context", default=_NOBODY)


def log_context() -> LogContext:
    """Return for whom the caller works."""
    return _context.get()


def work_for(context: LogContext) -> None:
    """Say for whom the caller works from now on, and whatever it starts."""
    _context.set(context)


def work_for_run(run: Run) -> None:
    """Say that the request which the caller works for has become this run."""
    known = _context.get()
    _context.set(replace(known, run_id=run.id, thread_id=run.thread_id, tenant_id=run.tenant_id))


def empty_context(about: LogContext | None = None) -> contextvars.Context:
    """Return a context for work that no request owns, which knows nothing but for whom it is done: unless `about` says that,
    for whom the caller works.
    """
    context = contextvars.Context()
    context.run(_context.set, _context.get() if about is None else about)
    return context
