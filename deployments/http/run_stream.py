"""`GET /runs/{run_id}/stream`: what a run has said and goes on to say, from the beginning or from behind an event.

Any ingress replica answers it, whichever one the run was begun at. The bytes are those of `/chat/stream`.
"""

import re
from functools import partial

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from configs.http import HttpSettings
from deployments.http.access import permitted
from deployments.http.resources import run_id_of
from deployments.http.streams import EventStream
from deployments.protocols.chat_stream import event_encoder
from deployments.protocols.types import Streamed
from services.errors import InvalidRequest
from services.runs.live_run import JoinedRun, ReadRun
from services.runs.service import RunService
from services.security.permissions import Permission
from services.types import EventId

LAST_EVENT_ID = "last-event-id"
FROM_THE_START = "-1"

_EVENT_ID = re.compile(r"([0-9]{1,6})-([0-9]{1,9})")


class RunStream:
    """The route as a plain ASGI application: per token it is only the encoder and the server's `send`."""

    def __init__(self, runs: RunService, settings: HttpSettings) -> None:
        self._runs = runs
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        after = last_event_id(request.headers)
        joined = await self._runs.join(permitted(scope, Permission.RUNS_READ), run_id_of(request), after)
        if joined.over:  # what an EventSource takes for the end, and does not come back after
            await joined.aclose()
            await Response(status_code=204)(scope, receive, send)
            return
        stream = EventStream(
            start=partial(_at_once, joined),
            reply=Streamed(event_encoder),
            created=0,
            heartbeat_s=self._settings.heartbeat_s,
            write_timeout_s=self._settings.write_timeout_s,
        )
        await stream(scope, receive, send)


async def _at_once(joined: JoinedRun) -> ReadRun:
    return joined


def last_event_id(headers: Headers) -> EventId | None:
    """Return the event that a client has seen last, None for one that has seen none. Raises InvalidRequest."""
    value = headers.get(LAST_EVENT_ID, "")
    if value in ("", FROM_THE_START):
        return None
    match = _EVENT_ID.fullmatch(value)
    if match is None:
        raise InvalidRequest(
            "The header Last-Event-ID must be the id of an event of this run, such as 1-42, or -1 for all of them.",
            param=LAST_EVENT_ID,
        )
    return EventId(attempt=int(match[1]), seq=int(match[2]))
