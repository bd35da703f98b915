"""What a client protocol is: one pure function from a body to a turn, and one from events to bytes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from services.events import EventBatch, RunCompleted, RunInterrupted
from services.types import JsonObject, Run, RunRequest


class Encoder(Protocol):
    """Turns the batches of one run, in order, into frames of an event stream.

    Empty bytes mean that nothing is to be sent. The bytes of the terminal batch are the last of the response; `over` says that
    the bytes so far are, though the run goes on.
    """

    @property
    def over(self) -> bool: ...

    def encode(self, batch: EventBatch) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A run, read to its end, for a client that does not stream: it has answered, or asks a person something."""

    text: str
    reasoning: str
    ending: RunCompleted | RunInterrupted


@dataclass(frozen=True, slots=True)
class Streamed:
    """The client reads events: `encoder` is given the run and the Unix time, in whole seconds, at which it began."""

    encoder: Callable[[Run, int], Encoder]


@dataclass(frozen=True, slots=True)
class Whole:
    """The client waits for one JSON document: `render` makes it of the run, its Unix time in seconds and the answer."""

    render: Callable[[Run, int, Answer], bytes]


@dataclass(frozen=True, slots=True)
class Queued:
    """The client does not wait: `render` makes a JSON document of the run as it was taken in."""

    render: Callable[[Run], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    request: RunRequest
    reply: Streamed | Whole | Queued


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for every protocol. `max_message_chars` is of one message, `max_run_s` the longest time limit of a run.

    `check_webhook` raises InvalidRequest for an address that nothing may be sent to.
    """

    default_graph: str
    max_messages: int
    max_message_chars: int
    max_run_s: float
    check_webhook: Callable[[str | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProtocol:
    """`parse` raises InvalidRequest, naming the field in `param`; header names are looked up in any case.

    `body` is the shape of the body, for the OpenAPI document, and `status` that of a request which is taken.
    """

    path: str
    summary: str
    body: type[BaseModel]
    parse: Callable[[JsonObject, Mapping[str, str], Rules], Turn]
    status: int = 200
