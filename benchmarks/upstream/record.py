"""What the upstream saw, kept so that a test can wait for it instead of sleeping."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from benchmarks.upstream.awaited import Awaited


class Outcome(StrEnum):
    """How one request ended."""

    OPEN = "open"
    COMPLETED = "completed"
    FAULTED = "faulted"
    """The upstream ended it, as the directive asked."""
    CLIENT_CLOSED = "client_closed"
    """The client closed the connection before the reply was complete."""


class ClosedBy(StrEnum):
    """Who ended a connection."""

    CLIENT = "client"
    UPSTREAM = "upstream"


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
    fault: str | None = None
    """The name of the fault that struck it."""
    outcome: Outcome = Outcome.OPEN
    chunks: int = 0
    """Pieces written, of which the first is the role and, of a whole reply, the last two or three are the end."""
    bytes_written: int = 0
    """Head and framing included, before TLS."""
    ended_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True, kw_only=True, eq=False)
class SeenConnection:
    """One TCP connection; of TLS, one whose handshake succeeded. Times are seconds of the monotonic clock."""

    number: int
    opened_s: float
    requests: int = 0
    """Of every route."""
    closed_s: float | None = None
    closed_by: ClosedBy | None = None
    """Who closed it first; None while it is open."""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True, kw_only=True, eq=False)
class Record(Awaited):
    """Everything seen since the start or the last `clear()`. Keeps the newest `limit` requests and connections; the counts
    cover all of them."""

    who: ClassVar[str] = "the upstream"

    limit: int = 2000
    clock: Callable[[], float] = time.monotonic
    requests: deque[SeenRequest] = field(default_factory=deque)
    connections: deque[SeenConnection] = field(default_factory=deque)
    accepted: int = 0
    """TCP connections, those whose TLS handshake failed included."""
    connected: int = 0
    """TCP connections that are open now."""
    received: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    open: int = 0
    peak_open: int = 0
    most_attempts: int = 0
    """How often the same model and messages came."""
    _attempts: Counter[bytes] = field(default_factory=Counter)

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
        """Forget what was seen; requests and connections that are open stay counted as open."""
        self.requests.clear()
        self.connections = deque(seen for seen in self.connections if seen.closed_s is None)
        self.outcomes.clear()
        self._attempts.clear()
        self.accepted = self.received = self.most_attempts = 0
        self.peak_open = self.open

    def attempt(self, key: bytes) -> int:
        """The ordinal of this attempt of one request. Remembers at most `limit` different ones."""
        if len(self._attempts) >= self.limit and key not in self._attempts:
            self._attempts.clear()
        self._attempts[key] += 1
        self.most_attempts = max(self.most_attempts, self._attempts[key])
        return self._attempts[key]

    def accept(self) -> None:
        """A client's connection was taken; with TLS its handshake is still to come."""
        self.accepted += 1
        self._tell()

    def opened(self, number: int) -> SeenConnection:
        seen = SeenConnection(number=number, opened_s=self.clock())
        self.connections.append(seen)
        if len(self.connections) > self.limit:
            self.connections.popleft()
        self.connected += 1
        self._tell()
        return seen

    def lost(self, connection: SeenConnection, by: ClosedBy) -> None:
        connection.closed_s, connection.closed_by = self.clock(), by
        self.connected -= 1
        self._tell()

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
        request.ended_s = self.clock()
        self.outcomes[outcome] += 1
        self.open -= 1
        self._tell()

    def summary(self) -> dict[str, int]:
        return {
            "accepted": self.accepted,
            "connected": self.connected,
            "received": self.received,
            "open": self.open,
            "peak_open": self.peak_open,
            "most_attempts": self.most_attempts,
            "ended": self.ended,
            **{outcome.value: self.outcomes[outcome] for outcome in Outcome if outcome is not Outcome.OPEN},
        }
