"""What an open-loop run is asked for, and what came of each request: the values that cross the client process's pipe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Self

import orjson

UNANSWERED = "unanswered"
"""The error of a request that was still open when the run was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Requests that are sent when they are due, whether or not those before them have been answered; evenly spaced.

    So a server that slows down is asked no less, and what it makes others wait is seen.
    """

    name: str
    url: str
    body: str
    """JSON; NONCE in it is replaced."""
    headers: Mapping[str, str] = field(default_factory=dict)
    per_s: float
    count: int
    tokens: int
    """Of one complete reply; fewer is an error."""
    begins_s: float = 0.0
    """When the first one is due, after the run's begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoad:
    """One run: several kinds of requests at once."""

    arrivals: Sequence[Arrivals]
    give_up_s: float
    """So long after the last request was due, what has not been answered is left."""

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        value = orjson.loads(data)
        return cls(arrivals=[Arrivals(**one) for one in value["arrivals"]], give_up_s=value["give_up_s"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of one request. Times are microseconds of the machine's monotonic clock."""

    name: str
    due_us: int
    sent_us: int
    first_us: int | None
    """When its first token was read."""
    error: str | None

    @property
    def ttft_ms(self) -> float | None:
        """Counted from when it was due: a client that is late does not make its server look fast."""
        return None if self.first_us is None else (self.first_us - self.due_us) / 1000

    @property
    def late_ms(self) -> float:
        """By how much the client itself was late."""
        return (self.sent_us - self.due_us) / 1000


def to_json(replies: Sequence[Reply]) -> bytes:
    return orjson.dumps([asdict(reply) for reply in replies])


def from_json(data: bytes) -> list[Reply]:
    return [Reply(**value) for value in orjson.loads(data)]


def due_us(arrivals: Arrivals, number: int, *, begin_us: int) -> int:
    """When the request of that number, from 0, is to be sent."""
    return begin_us + round(1e6 * (arrivals.begins_s + number / arrivals.per_s))
