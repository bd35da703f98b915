"""Events as bytes, for the log: `[["text_delta", {"text": "Hi", "source": null}], …]`.

What is read back equals what was written, field for field, so every client protocol makes the same bytes of it. The names
are stored: one may be added, none changed.

In a compacted log an item may stand for several deltas: with their text as one, and how many characters each had behind it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

import orjson

from services.errors import Failure
from services.events import (
    GuardrailTripped,
    HandedOver,
    ReasoningDelta,
    Retracted,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunInterrupted,
    RunRestarted,
    RunStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from services.guard import Action, Stage
from services.types import EventId, Interruption, Usage

EventT = TypeVar("EventT", bound=RunEvent)


def encode(events: Sequence[RunEvent]) -> bytes:
    """Return the events as one JSON text. They must be `sound`."""
    return orjson.dumps([(_NAMES[type(event)], event) for event in events])  # orjson reads dataclasses by itself


def decode(body: bytes) -> tuple[RunEvent, ...]:
    """Return what was encoded. Raises KeyError for an event that a newer version wrote."""
    return tuple(_event(name, values) for name, values in items(body))


def items(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the values of each event, of several that are stored as one too."""
    for name, values, *merged in orjson.loads(body):
        if not merged:
            yield name, values
            continue
        [lengths], end = merged, 0
        for length in lengths:
            start, end = end, end + length
            yield name, {**values, "text": values["text"][start:end]}


def sound(event: EventT) -> EventT:
    """Return the event as it can be encoded, which it nearly always is.

    Models, tools and graphs may put things into an event that JSON has no way to say: half a surrogate pair becomes U+FFFD,
    an object its text. That happens before anybody sees the event, so that every reader sees the same one.
    """
    try:
        orjson.dumps(event)
    except TypeError:
        told: EventT = _plain(event)
        return told
    return event


def sound_text(text: str) -> str:
    """Return the text with halves of surrogate pairs joined, or replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return sound_text(value)
    if isinstance(value, Mapping):
        return {sound_text(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        told = [_plain(item) for item in value]
        return tuple(told) if isinstance(value, tuple) else told
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _plain(getattr(value, field.name)) for field in fields(value)})
    try:
        orjson.dumps(value)
    except TypeError:
        return sound_text(str(value))
    return value


def _event(name: str, values: dict[str, Any]) -> RunEvent:
    kind, revive = _KINDS[name]
    for field, make in revive.items():
        if values[field] is not None:
            values[field] = make(values[field])
    event: RunEvent = kind(**values)
    return event


def _usage(values: dict[str, Any]) -> Usage:
    return Usage(**values)


def _failure(values: dict[str, Any]) -> Failure:
    return Failure(**values)


def _event_id(values: dict[str, Any]) -> EventId:
    return EventId(**values)


def _interruptions(items: Sequence[dict[str, Any]]) -> tuple[Interruption, ...]:
    return tuple(Interruption(**item) for item in items)


Revive = Mapping[str, Callable[[Any], Any]]
"""The fields that JSON has no type for, and how each is made again."""

_KINDS: Mapping[str, tuple[Callable[..., Any], Revive]] = {
    "run_started": (RunStarted, {"run_id": UUID, "thread_id": UUID}),
    "run_restarted": (RunRestarted, {"keep": _event_id}),
    "text_delta": (TextDelta, {}),
    "reasoning_delta": (ReasoningDelta, {}),
    "tool_started": (ToolStarted, {}),
    "tool_finished": (ToolFinished, {}),
    "handed_over": (HandedOver, {}),
    "guardrail_tripped": (GuardrailTripped, {"stage": Stage, "action": Action}),
    "retracted": (Retracted, {}),
    "run_completed": (RunCompleted, {"usage": _usage}),
    "run_failed": (RunFailed, {"failure": _failure, "usage": _usage}),
    "run_cancelled": (RunCancelled, {"usage": _usage}),
    "run_interrupted": (RunInterrupted, {"interrupts": _interruptions, "usage": _usage}),
}
_NAMES = {kind: name for name, (kind, _) in _KINDS.items()}
