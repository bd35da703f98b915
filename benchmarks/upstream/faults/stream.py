"""Faults of the transport and of time: what arrives is right, but it stops, drips or breaks off."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.upstream.directive import Directive
from benchmarks.upstream.faults.fault import END, then
from benchmarks.upstream.reply import DONE_EVENT, Framing, Reply, Step

PACE_S = 0.02
PING = b": ping\n\n"
EMPTY_DELTA = b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":""}}]}\n\n'
_UNFINISHED = b'data: {"choices":[{"index":0,"delta":{"content":"'


def dripped(_reply: Reply, _directive: Directive) -> Iterator[Step]:
    """One byte at a time of an event whose text never ends."""
    for value in itertools.chain(_UNFINISHED, itertools.repeat(ord("o"))):
        yield PACE_S, bytes((value,))


def without_done(reply: Reply, directive: Directive) -> Reply:
    """The whole answer with its finish_reason, and then only the end of the body; of a body that is no stream: half."""
    if reply.framing is Framing.LENGTH:
        return then(END)(reply, directive)
    return replace(reply, closing=_until_done(reply))


def _until_done(reply: Reply) -> Iterator[Step]:
    yield from itertools.takewhile(lambda step: step[1] != DONE_EVENT, reply.closing)
    yield END
