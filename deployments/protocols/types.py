"""What a client protocol is: one pure function from a body to a turn, and one from events to bytes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from services.types import EventBatch, JsonObject, Run, RunCompleted, RunRequest


class Encoder(Protocol):
    """Turns the batches of one run, in order, into frames of an event stream.

    Empty bytes mean that nothing is to be sent. The bytes of the terminal batch are the last of the response.
    """

    def encode(self, batch: EventBatch) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A completed run, read to its end, for a client that does not stream."""

    text: str
    reasoning: str
    completed: RunCompleted


@dataclass(frozen=True, slots=True)
class Streamed:
    """The client reads events: `encoder` is given the run and the Unix time, in whole seconds, at which it began."""

    encoder: Callable[[Run, int], Encoder]


@dataclass(frozen=True, slots=True)
class Whole:
    """The client waits for one JSON document: `render` makes it of the run, its Unix time in seconds and the answer."""

    render: Callable[[Run, int, Answer], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    request: RunRequest
    reply: Streamed | Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for every protocol. `max_message_chars` is of one message, `max_run_s` the longest time limit of a run."""

    default_graph: str
    max_messages: int
    max_message_chars: int
    max_run_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProtocol:
    """`parse` raises InvalidRequest, naming the field in `param`; header names are looked up in any case.

    `body` is the shape of the body, for the OpenAPI document.
    """

    path: str
    summary: str
    body: type[BaseModel]
    parse: Callable[[JsonObject, Mapping[str, str], Rules], Turn]
