"""OpenAI's error envelope, which every route of Mainstay answers with."""

from deployments.protocols.next_step import next_step
from services.errors import Failure
from services.types import JsonObject

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_body(failure: Failure, request_id: str | None = None, *, partial: bool = False) -> JsonObject:
    """Return `{"error": {...}}`. `code` and `next` are stable and for programs, `message` is for people.

    `partial` says that text of an answer was shown before the error.
    """
    error: JsonObject = {
        "message": failure.message,
        "type": error_type(failure.status),
        "param": failure.param,
        "code": failure.code,
        "retryable": failure.retryable,
        "retry_after_s": failure.retry_after_s,
        "next": next_step(failure, partial=partial),
    }
    if request_id is not None:
        error["request_id"] = request_id
    return {"error": error}


def error_type(status: int) -> str:
    """Return OpenAI's word for a status: who is to act."""
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def cancelled(reason: str) -> Failure:
    """A run that was cancelled by somebody else, as the failure that its reader is told of."""
    return Failure(code="run_cancelled", message=f"The run was cancelled: {reason}.", status=409)
