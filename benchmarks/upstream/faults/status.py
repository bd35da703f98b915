"""Refusals: a status line that says no, with the bodies and headers that providers and their gateways send."""

import math
import time
from collections.abc import Callable
from email.utils import formatdate

import orjson

from benchmarks.upstream.directive import Directive
from benchmarks.upstream.faults.fault import Alter
from benchmarks.upstream.reply import Reply, error, whole

Headers = tuple[tuple[str, str], ...]
Wait = Callable[[float], Headers]
"""The headers that tell a client to stay away for so many seconds."""


def refused(
    status: int, *, message: str, kind: str = "invalid_request_error", code: str | None = None, wait: Wait | None = None
) -> Alter:
    """OpenAI's error object."""

    def alter(_reply: Reply, directive: Directive) -> Reply:
        headers = wait(directive.retry_after_s) if wait is not None else ()
        said = message.format(wait=openai_duration(directive.retry_after_s))
        return error(status, message=said, kind=kind, code=code, headers=headers)

    return alter


def throttled(wait: Wait) -> Alter:
    """A 429 that says in one of many forms when to come back."""
    message = "Rate limit reached for requests. Please try again in {wait}."
    return refused(429, kind="requests", code="rate_limit_exceeded", message=message, wait=wait)


def from_gateway(status: int) -> Alter:
    """The page that a reverse proxy in front of the provider makes of a failure."""
    page = f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>".encode()
    return lambda _reply, _directive: whole(page, status=status, content_type="text/html")


def from_framework(status: int) -> Alter:
    """The body of a server that validates with FastAPI, as many OpenAI-compatible ones do: no `error` in it."""
    detail = [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": {}}]
    return lambda _reply, _directive: whole(orjson.dumps({"detail": detail}), status=status)


def redirected(status: int) -> Alter:
    """An empty body and a `location`."""
    return lambda _reply, directive: whole(
        b"", status=status, content_type="text/html", headers=(("location", directive.location),)
    )


def in_seconds(wait_s: float) -> Headers:
    return (("retry-after", f"{wait_s:g}"),)


def as_date(wait_s: float) -> Headers:
    """HTTP dates have whole seconds: rounded up. With the `date` that it is to be read against."""
    now_s = math.floor(time.time())
    then_s = now_s + math.ceil(wait_s)
    return (("date", formatdate(now_s, usegmt=True)), ("retry-after", formatdate(then_s, usegmt=True)))


def in_milliseconds(wait_s: float) -> Headers:
    return (("retry-after-ms", f"{wait_s * 1000:g}"),)


def as_reset(wait_s: float) -> Headers:
    """OpenAI's rate limit headers: the requests are used up, the tokens are not, and only the reset times say how long."""
    return (
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", openai_duration(wait_s)),
        ("x-ratelimit-limit-tokens", "150000"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("x-ratelimit-reset-tokens", "6ms"),
    )


def openai_duration(seconds: float) -> str:
    """The form of `x-ratelimit-reset-requests`: 20ms, 1s, 1.5s, 6m0s, 1h0m30s."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    said = f"{round(rest, 3):g}s"
    if hours or minutes:
        said = f"{minutes}m{said}"
    return f"{hours}h{said}" if hours else said
