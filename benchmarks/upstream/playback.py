"""Writing one reply onto one connection, on time."""

import asyncio
import itertools
import socket
import struct
from collections.abc import Callable
from typing import Any

from benchmarks import stamps
from benchmarks.upstream.record import Outcome, SeenRequest
from benchmarks.upstream.reply import End, Framing, Reply, Step

_RESET_AFTER_S = 0.005  # the last token must have left the process, or the reset would take it along
_TORN_CHUNK = b'100\r\ndata: {"id":"chatcmpl'
_STEPS_AT_ONCE = 64  # an endless reply to a fast reader would keep the loop from everybody else


class Playback:
    """Plays the steps of one reply. Times are absolute from its start, so a late timer makes a burst and no drift;
    nothing is written while the client does not read."""

    def __init__(
        self,
        *,
        reply: Reply,
        seen: SeenRequest | None,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[Outcome, bool], None],
    ) -> None:
        """`on_end` receives the outcome and whether the connection can be used again."""
        self._reply = reply
        self._seen = seen
        self._transport = transport
        self._loop = loop
        self._on_end = on_end
        self._steps = itertools.chain(reply.opening, reply.closing)
        self._chunked = reply.framing is Framing.CHUNKED
        self._due_s = 0.0
        self._next: Step = (0.0, b"")
        self._timer: asyncio.Handle | None = None
        self._paused = False

    def start(self) -> None:
        if self._reply.head_s > 0.0:
            self._timer = self._loop.call_later(self._reply.head_s, self._begin)
        else:
            self._begin()

    def stop(self) -> None:
        """Nothing is written from here on; `on_end` is not called."""
        if self._timer is not None:
            self._timer.cancel()
        self._steps = itertools.chain(())

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        """Goes on in the loop's next turn: asyncio's transport closes twice when it is closed while it says this."""
        if self._paused:
            self._paused = False
            if self._timer is None:
                self._timer = self._loop.call_soon(self._go_on)

    def _begin(self) -> None:
        self._timer = None
        if not self._reply.silent:
            self._write(self._reply.head())
        self._due_s = self._loop.time()
        self._advance()

    def _advance(self) -> None:
        for _ in range(_STEPS_AT_ONCE):
            if self._paused or self._transport.is_closing():
                return
            step = next(self._steps, None)
            if step is None:
                return
            if step[0] > 0.0:
                self._due_s += step[0]
                self._next = step
                self._timer = self._loop.call_at(self._due_s, self._fire)
                return
            self._play(step[1])
        self._timer = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        self._advance()

    def _fire(self) -> None:
        self._timer = None
        self._play(self._next[1])
        self._advance()

    def _play(self, what: bytes | End) -> None:
        if isinstance(what, End):
            self._end(what)
            return
        if self._reply.stamped:
            what = what.replace(stamps.UNSENT, stamps.SENT_MARK + stamps.encode(stamps.now_us()))
        if self._seen is not None:
            self._seen.chunks += 1
        if what:
            self._write(b"%x\r\n%b\r\n" % (len(what), what) if self._chunked else what)

    def _write(self, data: bytes) -> None:
        if self._seen is not None:
            self._seen.bytes_written += len(data)
        self._transport.write(data)

    def _end(self, end: End) -> None:
        self._steps = itertools.chain(())
        if end is End.STALL:
            return
        if end in {End.DONE, End.COMPLETE_FIN} and self._chunked:
            self._write(b"0\r\n\r\n")
        if end is End.TORN:
            self._write(_TORN_CHUNK)
        reusable = end is End.DONE and self._reply.framing is not Framing.CLOSE
        outcome = Outcome.FAULTED if self._reply.faulted else Outcome.COMPLETED
        if end is End.RST:
            self._loop.call_later(_RESET_AFTER_S, reset, self._transport)
        elif not reusable:
            self._transport.close()
        self._on_end(outcome, reusable)


def reset(transport: asyncio.WriteTransport) -> None:
    """Close with RST instead of FIN."""
    connection: Any = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
