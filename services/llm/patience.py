"""How long one model call is waited for: to its first content, between pieces of content, in all, never beyond the deadline.

Only content counts: heartbeats and bytes that never become content do not. A token costs no clock reading and no timer: a
timer looks every so often whether pieces have come.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from services.errors import DeadlineExceeded, ModelTimeout
from services.runs.deadline import Deadline

SLACK = 0.1
"""The limit between pieces is kept to within this share of it: that is how often the timer looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """Seconds: to the first content, between two pieces of content, and for the whole answer.

    A slow reader's time is not the provider's: while one is waited for, these stand still, and only the deadline runs on.
    """

    first_content_s: float = 20.0
    between_content_s: float = 15.0
    whole_answer_s: float = 300.0


class Watched(Protocol):
    """A stream as its timer sees it: how many pieces of content came, and whether its reader is being waited for."""

    @property
    def pieces(self) -> int: ...

    @property
    def draining(self) -> bool: ...


class _Watch:
    """Looks at one call. `late` says which limit was passed, in words."""

    def __init__(
        self,
        timers: Timers,
        stream: Watched,
        limit: asyncio.Timeout,
        slow_after_s: float,
        on_slow: Callable[[], None],
    ) -> None:
        self.late: str | None = None
        self._timers = timers
        self._stream = stream
        self._limit = limit
        self._on_slow = on_slow
        self._loop = asyncio.get_running_loop()
        self._looked_at = self._since = now = self._loop.time()
        self._slow_at = now + slow_after_s
        self._over_at = now + timers.whole_answer_s
        self._pieces = 0
        self._timer = self._next(now)

    def stop(self) -> None:
        self._timer.cancel()

    def _next(self, now: float) -> asyncio.TimerHandle:
        poll_at = now + self._timers.between_content_s * SLACK
        return self._loop.call_at(min(poll_at, self._since + self._allowed_s, self._over_at, self._slow_at), self._look)

    @property
    def _allowed_s(self) -> float:
        return self._timers.between_content_s if self._pieces else self._timers.first_content_s

    def _look(self) -> None:
        if self._limit.expired():
            return
        now = self._loop.time()
        if self._stream.pieces != self._pieces:
            self._pieces, self._since = self._stream.pieces, now
        if self._stream.draining:
            self._since = now
            self._over_at += now - self._looked_at
        self._looked_at = now
        if now >= self._slow_at:
            self._slow_at = float("inf")
            if not self._pieces:
                self._on_slow()
        self.late = self._lateness(now)
        if self.late is not None:
            self._limit.reschedule(now)
            return
        self._timer = self._next(now)

    def _lateness(self, now: float) -> str | None:
        if now >= self._over_at:
            return f"the answer was not whole after {self._timers.whole_answer_s:g} s."
        if now < self._since + self._allowed_s:
            return None
        if self._pieces:
            return f"nothing for {self._allowed_s:g} s in the middle of an answer."
        return f"no answer began within {self._allowed_s:g} s."


@asynccontextmanager
async def patience(
    name: str,
    timers: Timers,
    stream: Watched,
    deadline: Deadline,
    *,
    slow_after_s: float = float("inf"),
    on_slow: Callable[[], None] = lambda: None,
) -> AsyncIterator[None]:
    """Cancel the body when the content of `name`'s answer is late; tell `on_slow` once if none came in `slow_after_s`.

    Raises ModelTimeout, or DeadlineExceeded where the run's own time ended.
    """
    remaining_s = deadline.clamp(float("inf"))
    watch: _Watch | None = None
    try:
        async with asyncio.timeout(remaining_s) as limit:
            watch = _Watch(timers, stream, limit, slow_after_s, on_slow)
            yield
    except TimeoutError:
        if watch is None or watch.late is None:
            raise DeadlineExceeded("The run reached its time limit.") from None
        raise ModelTimeout(f"{name}: {watch.late}") from None
    finally:
        if watch is not None:
            watch.stop()
