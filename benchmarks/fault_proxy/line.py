"""One direction of one connection: bytes wait here for the latency, and go on at the allowed rate."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

_HELD_MAX_BYTES = 1 << 20  # then the sender is no longer read, and its own window closes
_SLICE_S = 0.02
_CATCH_UP_S = 0.1  # a late timer is made up for, a long standstill is not


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None: ...


class Loop(Protocol):
    """What is used of an event loop."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer: ...


class Source(Protocol):
    """Where bytes come from: what is used of a transport."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Sink(Protocol):
    """Where bytes go to: what is used of a transport."""

    def write(self, data: bytes) -> None: ...

    def write_eof(self) -> None: ...


class Line:
    """Bytes in, bytes out, in order. The rules may change at any time and hold for what is under way too."""

    def __init__(self, *, loop: Loop, moved: Callable[[int], None], ended: Callable[[], None]) -> None:
        """`moved` hears how many bytes were handed on, `ended` that the sender's FIN was."""
        self._loop = loop
        self._moved = moved
        self._ended = ended
        self._held: deque[tuple[float, bytes]] = deque()  # an empty piece is the sender's FIN
        self._held_bytes = 0
        self._source: Source | None = None
        self._sink: Sink | None = None
        self._reading = True
        self._writing = True
        self._latency_s = 0.0
        self._bytes_per_s: float | None = None
        self._frozen = False
        self._sent: tuple[float, int] | None = None
        self._timer: Timer | None = None

    def rule(self, *, latency_s: float, bytes_per_s: float | None, frozen: bool) -> None:
        self._latency_s, self._bytes_per_s, self._frozen = latency_s, bytes_per_s, frozen
        self.flow()

    def comes_from(self, source: Source) -> None:
        self._source = source

    def goes_to(self, sink: Sink) -> None:
        """What came before is handed on now."""
        self._sink = sink
        self.flow()

    def feed(self, data: bytes) -> None:
        self._held.append((self._loop.time(), data))
        self._held_bytes += len(data)
        if self._held_bytes > _HELD_MAX_BYTES and self._reading and self._source is not None:
            self._reading = False
            self._source.pause_reading()
        self.flow()

    def feed_end(self) -> None:
        self.feed(b"")

    def pause(self) -> None:
        self._writing = False

    def resume(self) -> None:
        """Flows again in the loop's next turn: asyncio's transport closes twice when it is closed while it says this."""
        self._writing = True
        self._flow_at(self._loop.time())

    def drop(self) -> None:
        """Forget what is held and hand on nothing more."""
        self._sink = None
        self._held.clear()
        self._forget_timer()

    def flow(self) -> None:
        """Hand on what is due, and come back for the rest."""
        self._forget_timer()
        while self._held and self._sink is not None and self._writing and not self._frozen:
            due_s, now_s = self._due_s(), self._loop.time()
            if due_s > now_s:
                self._flow_at(due_s)
                return
            piece = self._take()
            if not piece:
                self._sink.write_eof()
                self._ended()
                return
            self._sent = (max(due_s, now_s - _CATCH_UP_S), len(piece))
            self._sink.write(piece)
            self._moved(len(piece))

    def _flow_at(self, when_s: float) -> None:
        self._forget_timer()
        self._timer = self._loop.call_at(when_s, self.flow)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due_s(self) -> float:
        due_s = self._held[0][0] + self._latency_s
        if self._bytes_per_s is not None and self._sent is not None:
            sent_s, size = self._sent
            due_s = max(due_s, sent_s + size / self._bytes_per_s)
        return due_s

    def _take(self) -> bytes:
        """As much of the oldest piece as may go at once; empty for a FIN."""
        arrived_s, data = self._held.popleft()
        size = len(data) if self._bytes_per_s is None else max(1, int(self._bytes_per_s * _SLICE_S))
        if size < len(data):
            self._held.appendleft((arrived_s, data[size:]))
        self._held_bytes -= len(data[:size])
        if self._held_bytes <= _HELD_MAX_BYTES // 2 and not self._reading and self._source is not None:
            self._reading = True
            self._source.resume_reading()
        return data[:size]
