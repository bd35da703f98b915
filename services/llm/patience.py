"""How long one model call is waited for: to its first content, between pieces of content, never beyond the deadline.

Content only sets a flag, and a timer looks at it every so often: a token costs no clock reading and no timer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.errors import DeadlineExceeded, ModelTimeout
from services.llm.types import ProviderSpec, TextSink
from services.runs.deadline import Deadline

SLACK = 0.1
"""The limit between pieces is kept to within this share of it: that is how often the timer looks."""


class Pace:
    """Watches one call. The provider sets `progressed` whenever content came, and drains the sink through `drained`."""

    def __init__(self, spec: ProviderSpec, limit: asyncio.Timeout) -> None:
        self.progressed = False
        self.started = False
        self.late = False
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._allowed_s = spec.first_token_timeout_s
        self._between_s = spec.inter_token_timeout_s
        self._draining = False
        self._since = self._loop.time()
        self._timer = self._next()

    async def drained(self, sink: TextSink) -> None:
        """Wait for a slow reader. That time is not the provider's: only the deadline runs on."""
        self._draining = True
        await sink.drain()
        self._draining = False

    def stop(self) -> None:
        self._timer.cancel()

    def _next(self) -> asyncio.TimerHandle:
        look_at = min(self._since + self._allowed_s, self._loop.time() + self._between_s * SLACK)
        return self._loop.call_at(look_at, self._look)

    def _look(self) -> None:
        if self._limit.expired():
            return
        now = self._loop.time()
        if self.progressed:
            self.progressed, self.started = False, True
            self._allowed_s, self._since = self._between_s, now
        elif self._draining:
            self._since = now
        elif now >= self._since + self._allowed_s:
            self.late = True
            self._limit.reschedule(now)
            return
        self._timer = self._next()


@asynccontextmanager
async def patience(spec: ProviderSpec, deadline: Deadline) -> AsyncIterator[Pace]:
    """Cancel the body when content is late. Raises ModelTimeout, or DeadlineExceeded where the run's own time ended."""
    remaining_s = deadline.clamp(float("inf"))
    pace: Pace | None = None
    try:
        async with asyncio.timeout(remaining_s) as limit:
            pace = Pace(spec, limit)
            yield pace
    except TimeoutError:
        if pace is None or not pace.late:
            raise DeadlineExceeded("The run reached its time limit.") from None
        if pace.started:
            text = f"{spec.name}: nothing for {spec.inter_token_timeout_s:g} s in the middle of an answer."
        else:
            text = f"{spec.name}: no answer began within {spec.first_token_timeout_s:g} s."
        raise ModelTimeout(text) from None
    finally:
        if pace is not None:
            pace.stop()
