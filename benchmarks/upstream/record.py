"""What the upstream saw, kept so that a test can wait for it instead of sleeping."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How one request ended."""

    OPEN = "open"
    COMPLETED = "completed"
    FAULTED = "faulted"
    """The upstream ended it, as the directive asked."""
    CLIENT_CLOSED = "client_closed"
    """The client closed the connection before the reply was complete."""


@dataclass(slots=True, kw_only=True, eq=False)
class SeenRequest:
    """One request; written to until it ends. Times are seconds of the monotonic clock."""

    number: int
    attempt: int
    """From 1, among the requests with the same model and messages."""
    connection: int
    """Ordinal of the TCP connection: equal numbers prove that a pool is reused."""
    authorization: bool
    """Whether a bearer key was sent. The key itself is kept nowhere."""
    headers: Mapping[str, str]
    """Without any header that carries the key."""
    body: dict[str, Any]
    stream: bool
    received_s: float
    outcome: Outcome = Outcome.OPEN
    chunks: int = 0
    """Pieces written, of which the first is the role and, of a whole reply, the last two or three are the end."""
    ended_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True, kw_only=True, eq=False)
class Record:
    """Everything seen since the start or the last `clear()`. Keeps the newest `limit` requests; the counts cover all of
    them."""

    limit: int = 2000
    requests: deque[SeenRequest] = field(default_factory=deque)
    received: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    open: int = 0
    peak_open: int = 0
    _attempts: Counter[bytes] = field(default_factory=Counter)
    _waiting: list[tuple[Callable[["Record"], bool], asyncio.Future[None]]] = field(default_factory=list)

    @property
    def completed(self) -> int:
        return self.outcomes[Outcome.COMPLETED]

    @property
    def faulted(self) -> int:
        return self.outcomes[Outcome.FAULTED]

    @property
    def closed(self) -> int:
        """Requests whose client hung up before the reply was complete."""
        return self.outcomes[Outcome.CLIENT_CLOSED]

    @property
    def ended(self) -> int:
        return self.outcomes.total()

    @property
    def last(self) -> SeenRequest:
        return self.requests[-1]

    def clear(self) -> None:
        """Forget what was seen; requests that are open stay counted as open."""
        self.requests.clear()
        self.outcomes.clear()
        self._attempts.clear()
        self.received = 0
        self.peak_open = self.open

    def attempt(self, key: bytes) -> int:
        """The ordinal of this attempt of one request. Remembers at most `limit` different ones."""
        if len(self._attempts) >= self.limit and key not in self._attempts:
            self._attempts.clear()
        self._attempts[key] += 1
        return self._attempts[key]

    def began(self, request: SeenRequest) -> None:
        self.requests.append(request)
        if len(self.requests) > self.limit:
            self.requests.popleft()
        self.received += 1
        self.open += 1
        self.peak_open = max(self.peak_open, self.open)
        self._tell()

    def finished(self, request: SeenRequest, outcome: Outcome) -> None:
        request.outcome = outcome
        request.ended_s = time.monotonic()
        self.outcomes[outcome] += 1
        self.open -= 1
        self._tell()

    async def until(self, condition: Callable[["Record"], bool], *, timeout_s: float = 5.0) -> "Record":
        """Returns as soon as the condition holds; raises TimeoutError with what was seen instead."""
        if condition(self):
            return self
        waiting = (condition, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                await waiting[1]
        except TimeoutError:
            raise TimeoutError(f"the upstream saw only: {self.summary()}") from None
        finally:
            self._waiting.remove(waiting)
        return self

    def summary(self) -> dict[str, int]:
        return {
            "received": self.received,
            "open": self.open,
            "peak_open": self.peak_open,
            "ended": self.ended,
            **{outcome.value: self.outcomes[outcome] for outcome in Outcome if outcome is not Outcome.OPEN},
        }

    def _tell(self) -> None:
        for condition, future in self._waiting:
            if not future.done() and condition(self):
                future.set_result(None)
