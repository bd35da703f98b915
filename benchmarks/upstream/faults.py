"""How an upstream breaks: one entry per fault. Adding a fault is adding an entry; the tests run each of them because it
is listed."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import orjson

from benchmarks.upstream.directive import Directive
from benchmarks.upstream.reply import End, Framing, Reply, Step, error, error_body, whole

Alter = Callable[[Reply, Directive], Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to break a reply."""

    says: str
    alter: Alter


def _status(status: int, *, kind: str, code: str | None, message: str) -> Alter:
    return lambda _reply, _directive: error(status, kind=kind, code=code, message=message)


def _throttled(_reply: Reply, directive: Directive) -> Reply:
    seconds = f"{directive.retry_after_s:g}"
    message = f"Rate limit reached. Please try again in {seconds}s."
    return error(429, kind="requests", code="rate_limit_exceeded", message=message, headers=(("retry-after", seconds),))


def _body(content: bytes, *, content_type: str) -> Alter:
    return lambda _reply, _directive: whole(content, content_type=content_type)


def _then(*steps: Step, framing: Framing | None = None) -> Alter:
    """`after` deltas as usual, then these steps instead of the rest; a step's delay is in token times. Of a body that
    is no stream: half."""

    def alter(reply: Reply, directive: Directive) -> Reply:
        paced = ((delay * directive.token_s, what) for delay, what in steps)
        writes = any(isinstance(what, bytes) for _, what in steps)
        return replace(
            reply, opening=_cut(reply, directive), closing=paced, framing=framing or _open_ended(reply, writes=writes)
        )

    return alter


def _for_ever(frame: bytes, *, every_s: float) -> Alter:
    def alter(reply: Reply, directive: Directive) -> Reply:
        return replace(
            reply,
            opening=_cut(reply, directive),
            closing=itertools.repeat((every_s, frame)),
            framing=_open_ended(reply, writes=True),
        )

    return alter


def _open_ended(reply: Reply, *, writes: bool) -> Framing:
    """What is written after the cut would not fit a length announced before it."""
    return Framing.CLOSE if writes and reply.framing is Framing.LENGTH else reply.framing


def _cut(reply: Reply, directive: Directive) -> Iterable[Step]:
    return itertools.islice(reply.opening, 1 + directive.after)


_IN_STREAM_ERROR = b"data: %s\n\n" % orjson.dumps(
    error_body(message="The server had an error while processing your request.", kind="server_error", code=None)
)
_ERROR_EVENT = b"event: error\ndata: %s\n\n" % orjson.dumps({"type": "error", "message": "overloaded"})
_HTML = b"<!doctype html><html><head><title>Maintenance</title></head><body>Back soon</body></html>"
_QUOTA = "You exceeded your current quota, please check your plan and billing details."

FAULTS: dict[str, Fault] = {
    "status_400": Fault(
        says="bad request", alter=_status(400, kind="invalid_request_error", code=None, message="Bad request")
    ),
    "status_401": Fault(
        says="wrong key",
        alter=_status(401, kind="invalid_request_error", code="invalid_api_key", message="Incorrect API key provided"),
    ),
    "status_404": Fault(
        says="no such model",
        alter=_status(404, kind="invalid_request_error", code="model_not_found", message="The model does not exist"),
    ),
    "status_429": Fault(says="throttled, with Retry-After", alter=_throttled),
    "quota": Fault(
        says="429 that no retry will cure",
        alter=_status(429, kind="insufficient_quota", code="insufficient_quota", message=_QUOTA),
    ),
    "status_500": Fault(
        says="internal error", alter=_status(500, kind="server_error", code=None, message="The server had an error")
    ),
    "status_503": Fault(
        says="overloaded", alter=_status(503, kind="server_error", code=None, message="The engine is overloaded")
    ),
    "html": Fault(says="200 with a page of HTML", alter=_body(_HTML, content_type="text/html")),
    "empty": Fault(says="200 with an empty body", alter=_body(b"", content_type="text/event-stream")),
    "hang": Fault(
        says="accepts and never answers",
        alter=lambda reply, _directive: replace(reply, opening=((0.0, End.STALL),), silent=True),
    ),
    "cut": Fault(says="ends in order, without finish_reason and [DONE]", alter=_then((1.0, End.COMPLETE_FIN))),
    "cut_unframed": Fault(says="FIN without the body's end", alter=_then((1.0, End.FIN))),
    "cut_close": Fault(says="FIN where only FIN ends the body", alter=_then((1.0, End.FIN), framing=Framing.CLOSE)),
    "torn": Fault(says="FIN inside a chunk", alter=_then((1.0, End.TORN))),
    "reset": Fault(says="RST", alter=_then((1.0, End.RST))),
    "stall": Fault(says="sends nothing more, open for ever", alter=_then((1.0, End.STALL))),
    "pings": Fault(says="only comments, for ever", alter=_for_ever(b": ping\n\n", every_s=0.02)),
    "malformed": Fault(
        says="a chunk that is no JSON, then [DONE]",
        alter=_then((1.0, b'data: {"id": \n\n'), (1.0, b"data: [DONE]\n\n"), (0.0, End.DONE)),
    ),
    "error_data": Fault(
        says="an error object in the stream, then the end",
        alter=_then((1.0, _IN_STREAM_ERROR), (0.0, End.COMPLETE_FIN)),
    ),
    "error_event": Fault(
        says="an `error` event in the stream, then the end", alter=_then((1.0, _ERROR_EVENT), (0.0, End.COMPLETE_FIN))
    ),
}


def faulty(reply: Reply, directive: Directive) -> Reply:
    """The reply, broken as the directive asks."""
    assert directive.fault is not None  # noqa: S101  the caller asks only when there is one
    return replace(FAULTS[directive.fault].alter(reply, directive), faulted=True)
