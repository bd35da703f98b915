"""A reply as data: what is written, when, and how it ends."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from http.client import responses

import orjson

EVENT_STREAM = "text/event-stream; charset=utf-8"
DONE_EVENT = b"data: [DONE]\n\n"


class End(Enum):
    """What ends the writing."""

    DONE = "the body is complete; the connection is kept"
    FIN = "the connection is closed in order, the body complete or not"
    COMPLETE_FIN = "the body is ended in order, then the connection is closed"
    TORN = "FIN inside a chunk"
    RST = "the connection is reset"
    STALL = "nothing more, for ever; the connection stays open"


class Framing(Enum):
    """How the body's end is told to the client."""

    CHUNKED = "chunked"
    LENGTH = "length"
    CLOSE = "close"


Step = tuple[float, bytes | End]
"""Seconds after the step before, and what is then written or done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One response. `opening` is what a fault of the stream may cut short: the role, then one step per delta; a whole
    JSON body is its two halves."""

    opening: Iterable[Step]
    closing: Iterable[Step] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", EVENT_STREAM),)
    framing: Framing = Framing.CHUNKED
    length: int | None = None
    silent: bool = False
    """Not even a status line."""
    head_s: float = 0.0
    """Seconds until the status line, or until the first step of a reply that has none."""
    delta: Callable[[str], bytes] = str.encode
    """One more piece of text as this reply frames it, for faults that go on and on."""
    stamped: bool = False
    faulted: bool = False

    def head(self) -> bytes:
        """Status line and headers."""
        lines = [
            f"HTTP/1.1 {self.status} {responses.get(self.status, 'Overloaded')}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        match self.framing:
            case Framing.CHUNKED:
                lines.append("transfer-encoding: chunked")
            case Framing.LENGTH:
                lines.append(f"content-length: {self.length}")
            case Framing.CLOSE:
                lines.append("connection: close")
        return "\r\n".join([*lines, "", ""]).encode()


def whole(
    body: bytes,
    *,
    status: int = 200,
    content_type: str = "application/json",
    headers: tuple[tuple[str, str], ...] = (),
    delay_s: float = 0.0,
) -> Reply:
    """A reply with a known length."""
    half = len(body) // 2
    return Reply(
        opening=((delay_s, body[:half]),),
        closing=((0.0, body[half:]), (0.0, End.DONE)),
        status=status,
        headers=(("content-type", content_type), *headers),
        framing=Framing.LENGTH,
        length=len(body),
    )


def error_body(*, message: str, kind: str, code: str | None) -> dict[str, dict[str, str | None]]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error(
    status: int,
    *,
    message: str,
    kind: str = "invalid_request_error",
    code: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Reply:
    """A reply that refuses."""
    return whole(orjson.dumps(error_body(message=message, kind=kind, code=code)), status=status, headers=headers)
