"""From an error to an answer: one envelope on every route, and headers that say whether to come back, and when."""

import logging
import math
from collections.abc import Mapping

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deployments.http.request_id import current_request_id
from deployments.http.security_headers import SECURITY_HEADERS
from deployments.protocols.openai_errors import error_body
from services.errors import (
    Failure,
    InternalError,
    InvalidRequest,
    MainstayError,
    MethodNotAllowed,
    NotFound,
    Unauthenticated,
)

logger = logging.getLogger(__name__)

_UNROUTED: Mapping[int, MainstayError] = {
    404: NotFound("There is no such route. The README and GET /openapi.json list them."),
    405: MethodNotAllowed("This route has no such method. The header Allow lists its methods."),
}


def failure_response(failure: Failure, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that tells a client of `failure`.

    `x-should-retry` is what the openai SDKs obey before their own rule, which would send a busy thread's turn three
    times. `retry-after` is in whole seconds, rounded up; `retry-after-ms` is the SDKs' own, and exact.
    """
    response = Response(
        orjson.dumps(error_body(failure, current_request_id())),
        status_code=failure.status,
        media_type="application/json",
        headers=headers,
    )
    response.headers["x-should-retry"] = "true" if failure.retryable else "false"
    if failure.retry_after_s is not None:
        response.headers["retry-after"] = str(max(1, math.ceil(failure.retry_after_s)))
        response.headers["retry-after-ms"] = str(math.ceil(failure.retry_after_s * 1000))
    if failure.status == Unauthenticated.status:
        response.headers["www-authenticate"] = "Bearer"
    return response


async def on_mainstay_error(request: Request, error: Exception) -> Response:
    """Answer what Mainstay raised on purpose; what is our own fault is also logged."""
    assert isinstance(error, MainstayError)  # noqa: S101 - what Starlette registered it for
    if error.status >= 500:
        logger.warning("%s: %s", error.code, error.message)
    return failure_response(error.to_failure())


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what Starlette itself raises: an unknown route, or a method that a route does not have."""
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    ours = _UNROUTED.get(error.status_code)
    failure = ours.to_failure() if ours else Failure(code="http_error", message=error.detail, status=error.status_code)
    return failure_response(failure, error.headers)


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Answer a path or query parameter that FastAPI refused."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    first = error.errors()[0]
    param = str(first["loc"][-1])
    refused = InvalidRequest(f"The parameter {param!r} cannot be used: {first['msg']}.", param=param)
    return failure_response(refused.to_failure())


class Silence(Response):
    """The answer to somebody who is not there: nothing is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        return


async def on_client_left(request: Request, error: Exception) -> Response:
    """The client closed the connection before its request was complete, which is no error of anybody's."""
    return Silence()


async def on_unexpected(request: Request, error: Exception) -> Response:
    """Answer a bug without its details, which are in the log under the request id.

    Starlette runs this outside of every other middleware, so the headers that those add are added here.
    """
    logger.error("unexpected exception in a request", exc_info=error)
    internal = InternalError("Something went wrong on our side. Quote the request id when you report it.")
    return failure_response(internal.to_failure(), {**SECURITY_HEADERS, "x-request-id": current_request_id()})
