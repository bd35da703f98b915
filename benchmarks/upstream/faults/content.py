"""Faults of what is said: a status of 200, and not the answer."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import orjson

from benchmarks.upstream.answers import word
from benchmarks.upstream.directive import Directive
from benchmarks.upstream.faults.fault import END, Alter, Ask
from benchmarks.upstream.reply import DONE_EVENT, EVENT_STREAM, End, Framing, Reply, Step, error_body, whole

IN_STREAM_ERROR = b"data: %s\n\n" % orjson.dumps(
    error_body(message="The server had an error while processing your request.", kind="server_error", code=None)
)
ERROR_EVENT = b"event: error\ndata: %s\n\n" % orjson.dumps({"type": "error", "message": "overloaded"})
PAGE = b"<!doctype html><html><head><title>Maintenance</title></head><body>Back soon</body></html>"
LONG_LINE_BYTES = 64 * 1024 * 1024

_PIECE = b"x" * 65_536
_GAP = "~gap~"
_COMPLETION = {
    "id": "chatcmpl-0",
    "object": "chat.completion",
    "created": 0,
    "model": "simulated",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
}
_CHUNK = {
    "id": "chatcmpl-0",
    "object": "chat.completion.chunk",
    "created": 0,
    "model": "simulated",
    "choices": [{"index": 0, "delta": {"content": "Hello."}, "finish_reason": None}],
}


def body(content: bytes, *, content_type: str) -> Alter:
    """This body with a status of 200."""
    return lambda _reply, _directive: whole(content, content_type=content_type)


def other_form(reply: Reply, _directive: Directive) -> Reply:
    """JSON where a stream was asked for, a stream where JSON was."""
    if reply.framing is Framing.LENGTH:
        return whole(b"data: %s\n\n%s" % (orjson.dumps(_CHUNK), DONE_EVENT), content_type=EVENT_STREAM)
    return whole(orjson.dumps(_COMPLETION))


def error_with_200(_reply: Reply, _directive: Directive) -> Reply:
    """OpenAI's error object under a status that says that all is well."""
    said = error_body(message="The model is overloaded.", kind="server_error", code=None)
    return whole(orjson.dumps(said))


def shortened(finish_reason: str) -> Ask:
    """An answer of `after` tokens, in order but for its finish_reason. What a directive says literally is not cut."""
    return lambda directive: replace(directive, tokens=directive.after, finish_reason=finish_reason)


def not_utf8(reply: Reply, _directive: Directive) -> Iterator[Step]:
    """A delta whose text holds bytes that no UTF-8 has."""
    yield 0.0, reply.delta(_GAP).replace(_GAP.encode(), b"\xff\xfe\xc0")
    yield 0.0, DONE_EVENT
    yield 0.0, End.DONE


def long_line(reply: Reply, _directive: Directive) -> Iterator[Step]:
    """One delta of 64 MiB, made as the client reads."""
    head, tail = reply.delta(_GAP).split(_GAP.encode())
    yield 0.0, head
    yield from itertools.repeat((0.0, _PIECE), LONG_LINE_BYTES // len(_PIECE))
    yield 0.0, tail
    yield END


def flood(reply: Reply, directive: Directive) -> Iterator[Step]:
    """The deterministic text for ever: every token time or, without one, as fast as the client reads."""
    for index in itertools.count(directive.after):
        yield directive.token_s, reply.delta(word(index))


def repetition(reply: Reply, directive: Directive) -> Iterator[Step]:
    """The same delta for ever; its pace as of `flood`."""
    return itertools.repeat((directive.token_s, reply.delta(" again")))
