"""The span of a request that runs a turn, and where that is kept its line in the log. Whoever is not let in has neither.

Of any other request the line of its run is enough, which has the request's id: a line costs as much as its whole trace.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from starlette.types import Scope

from deployments.http.bodies import ClientLeft
from deployments.http.request_id import status_sent
from services.errors import InternalError, MainstayError
from services.telemetry import genai
from services.telemetry.log_context import log_context, work_for
from services.telemetry.spans import Kind, Trace
from services.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

TRACEPARENT = b"traceparent"


class TracedRequests:
    """The requests of one route."""

    def __init__(self, tracer: Tracer, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._tracer = tracer
        self._path = path
        self._clock = clock

    @contextmanager
    def request(self, scope: Scope) -> Iterator[Trace]:
        """Yield the trace of a request, within its client's where that has one, for as long as it is being answered."""
        trace = self._tracer.come_in(_traceparent(scope))
        attributes = {
            genai.HTTP_METHOD: "POST",
            genai.HTTP_ROUTE: self._path,
            genai.REQUEST_ID: log_context().request_id,
        }
        span = trace.begin(f"POST {self._path}", attributes, kind=Kind.SERVER)
        work_for(replace(log_context(), trace_id=trace.trace_id))
        began, error = self._clock(), None
        status: int | None = InternalError.status  # of a bug, which is answered further out
        try:
            with span:
                yield trace
            status = status_sent(scope)
        except MainstayError as refusal:
            status, error = refusal.status, refusal.code
            raise
        except (asyncio.CancelledError, ClientLeft):
            status = None
            raise
        finally:
            if status is not None:
                span.set({genai.HTTP_STATUS: status})
                if status >= 500:
                    trace.keep()
            kept = self._tracer.end(trace)
            if kept or (status is not None and status >= 500) or logger.isEnabledFor(logging.DEBUG):
                duration_s = round(self._clock() - began, 4)
                told = {"path": self._path, "status": status, "error": error, "duration_s": duration_s}
                logger.info("request over", extra=told)


def _traceparent(scope: Scope) -> str | None:
    """Return the client's `traceparent`; of several none counts."""
    given = [value for name, value in scope["headers"] if name == TRACEPARENT]
    return given[0].decode("latin-1") if len(given) == 1 else None
