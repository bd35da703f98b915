"""One id per request: the client's own where it is well-formed, echoed in the answer, and known to every log line."""

import re
from collections.abc import Callable
from uuid import UUID

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.telemetry.log_context import LogContext, log_context, work_for

REQUEST_ID_HEADER = b"x-request-id"

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_STATUS = "mainstay.status"


def current_request_id() -> str:
    """Return the id of the request that the caller works for, or an empty text outside of one."""
    return log_context().request_id


def status_sent(scope: Scope) -> int | None:
    """Return the status that the request was answered with, None while it was not."""
    status = scope.get(_STATUS)
    return status if isinstance(status, int) else None


class RequestId:
    """Takes a client's `x-request-id` of at most 128 letters, digits and `._:-`, and makes one otherwise."""

    def __init__(self, app: ASGIApp, *, new_id: Callable[[], UUID]) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._take(scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = request_id
                scope[_STATUS] = message["status"]
            await send(message)

        work_for(LogContext(request_id=request_id))
        await self._app(scope, receive, send_with_id)

    def _take(self, scope: Scope) -> str:
        given = [value for name, value in scope["headers"] if name == REQUEST_ID_HEADER]
        if len(given) == 1 and _WELL_FORMED.fullmatch(given[0]):
            return str(given[0].decode("ascii"))
        return str(self._new_id())
