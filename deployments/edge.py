"""What stands before Serve's own HTTP handling: Serve trusts headers that any client can write.

Ray calls `middlewares` by import path (`RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=deployments.edge:middlewares`) in its
proxy and, with HAProxy, in each ingress replica. Nothing of Ray is imported here.
"""

import re

from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STRIPPED = frozenset(
    {
        b"x-request-timeout-seconds",  # would override the operator's time limit
        b"x-request-disconnect-disabled",  # would let runs go on, and cost, after their client left
        b"serve_multiplexed_model_id",  # would choose a replica
        b"x-session-id",  # as would this: we route by thread ourselves, so a client must not pin its load to one
    }
)
STRIPPED_PREFIX = b"x-serve-router-"
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32_768

_REQUEST_ID = b"x-request-id"
_WELL_FORMED_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TOO_LARGE = (
    b'{"error":{"message":"The request has more than 100 headers, or more than 32 KiB of them. Send fewer.",'
    b'"type":"invalid_request_error","param":null,"code":"headers_too_large","retryable":false}}'
)


class StripServeHeaders:
    """Removes what only Serve may say, refuses too many headers (431), and lets one `x-request-id` through, if sound.

    Serve appends its own `x-request-id` to answers that have one already; the second is taken out again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
            await Response(_TOO_LARGE, status_code=431, media_type="application/json")(scope, receive, send)
            return
        scope["headers"] = _without_serves(headers)

        async def send_one_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_one_id(message.get("headers", ()))
            await send(message)

        await self._app(scope, receive, send_one_id)


def _without_serves(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    ids = [value for name, value in headers if name.lower() == _REQUEST_ID]
    sound = len(ids) == 1 and _WELL_FORMED_ID.fullmatch(ids[0]) is not None
    return [(name, value) for name, value in headers if _may_pass(name.lower().replace(b"-", b"_"), sound)]


def _may_pass(name: bytes, sound_id: bool) -> bool:
    if name == b"x_request_id":
        return sound_id
    return name not in _STRIPPED_NAMES and not name.startswith(_STRIPPED_PREFIX)


_STRIPPED_NAMES = frozenset(name.replace(b"-", b"_") for name in STRIPPED)
_STRIPPED_PREFIX = STRIPPED_PREFIX.replace(b"-", b"_")


def _with_one_id(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    ids = [value for name, value in headers if name.lower() == _REQUEST_ID]
    if len(ids) < 2:
        return headers
    return [(name, value) for name, value in headers if name.lower() != _REQUEST_ID] + [(_REQUEST_ID, ids[0])]


def middlewares() -> list[Middleware]:
    """Return what Serve is to wrap its HTTP handling in."""
    return [Middleware(StripServeHeaders)]
