"""A client that does not give up: when its connection breaks it comes back, says what it has seen, and is told the rest."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.e2e.chaos.story import RESTARTED, Story
from tests.e2e.streams import Event, events_until_cut

PATIENCE_S = 90.0
"""How long one run is read, breaks and all, before the client gives it up for lost."""

PAUSE_S = 0.2


@dataclass(slots=True, kw_only=True)
class Reading:
    """One run, from the request to its terminal event, whatever breaks in between.

    It sends the request again, under the same Idempotency-Key, until it knows the run, and from then on reads the run's
    stream from behind the last event it has seen. `on_event` is called after each event.
    """

    client: httpx.AsyncClient
    body: dict[str, Any]
    key: str = field(default_factory=lambda: str(uuid4()))
    patience_s: float = PATIENCE_S
    on_event: Callable[["Reading"], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    story: Story = field(default_factory=Story)
    run_id: str | None = None
    breaks: list[str] = field(default_factory=list)
    """How connections ended that ended before the run did, or did not come about."""
    gaps_s: list[float] = field(default_factory=list)
    """Silences round a break or a restart: from the last event before to the first one after."""
    _heard_at: float | None = None
    _broken: bool = False

    async def read(self) -> "Reading":
        """Read to the end. Raises StoryBroken, AssertionError for a refusal, and TimeoutError."""
        async with asyncio.timeout(self.patience_s):
            while not self.story.ended:
                try:
                    how = await self._read_once()
                except httpx.TransportError as error:
                    how = repr(error)
                if not self.story.ended:
                    self.breaks.append(how)
                    self._broken = True
                    await self.sleep(PAUSE_S)
        return self

    async def _read_once(self) -> str:
        """Read until the connection ends, and return how."""
        async with self._connection() as response:
            if response.status_code != 200:
                await response.aread()
            if response.status_code == 404 or response.status_code >= 500:
                return f"{response.status_code} {response.text}"  # nobody there, or a proxy that knows no replicas yet
            if response.status_code != 200:
                raise AssertionError(f"run {self.run_id}: {response.status_code} {response.text}")
            self.run_id = response.headers["x-run-id"]
            async for event in events_until_cut(response):
                self._take(event)
        return "closed"

    def _connection(self) -> AbstractAsyncContextManager[httpx.Response]:
        if self.run_id is None:
            return self.client.stream("POST", "/chat/stream", json=self.body, headers={"idempotency-key": self.key})
        seen = {} if self.story.last_id is None else {"last-event-id": self.story.last_id}
        return self.client.stream("GET", f"/runs/{self.run_id}/stream", headers=seen)

    def _take(self, event: Event) -> None:
        self.story.take(event)
        now = self.clock()
        if self._heard_at is not None and (self._broken or event.name == RESTARTED):
            self.gaps_s.append(now - self._heard_at)
        self._heard_at, self._broken = now, False
        self.on_event(self)


async def replay(client: httpx.AsyncClient, run_id: str) -> Story:
    """Read a run that has ended from its beginning, in one go, and return its story."""
    story = Story()
    async with client.stream("GET", f"/runs/{run_id}/stream") as response:
        assert response.status_code == 200, await response.aread()
        async for event in events_until_cut(response):
            story.take(event)
    return story
