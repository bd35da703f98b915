"""Between our values and rows, and what Postgres cannot hold: NUL characters and lone surrogates.

Postgres answers both with an error that aborts the statement, so they stop here. Text that a *caller* sent is refused with
InvalidRequest. Text that must be recorded whatever it holds, such as what a model said, has them replaced by U+FFFD.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar
from uuid import UUID

import orjson

from services.errors import Failure, InvalidRequest
from services.types import EventId, Message, ModelOptions, Progress, Run, ToolCall, Usage

TextT = TypeVar("TextT", str, str | None)


def to_json(value: Any) -> str:
    """Return `value` as JSON text. Raises InvalidRequest for NUL characters, lone surrogates and integers over 64 bits."""
    try:
        encoded = orjson.dumps(value)
    except (TypeError, ValueError):
        raise InvalidRequest("The request holds a value that cannot be stored.") from None
    if b"\\u0000" in encoded:  # or a text that shows these six characters: only then is it worth a closer look
        refuse_unstorable(_texts(value))
    return encoded.decode()


def refuse_unstorable(texts: Iterable[str | None], *, param: str | None = None) -> None:
    """Raise InvalidRequest if a text holds a NUL character or a lone surrogate."""
    for text in texts:
        if text is not None and storable(text) != text:
            raise InvalidRequest("The request holds a NUL character or half of a surrogate pair.", param=param)


def storable(text: TextT) -> TextT:
    """Return the text with every character that Postgres cannot hold replaced by U+FFFD."""
    if text is None:
        return text
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def storable_message(message: Message) -> Message:
    calls = tuple(
        ToolCall(id=storable(call.id), name=storable(call.name), arguments=storable(call.arguments))
        for call in message.tool_calls
    )
    return replace(
        message,
        content=storable(message.content),
        tool_calls=calls,
        tool_call_id=storable(message.tool_call_id),
        name=storable(message.name),
    )


def message_columns(messages: Sequence[Message]) -> tuple[list[str | None], ...]:
    """Return messages as one list per column: role, content, tool calls as JSON, tool call id, name."""
    return (
        [message.role for message in messages],
        [message.content for message in messages],
        [to_json([asdict(call) for call in m.tool_calls]) if m.tool_calls else "[]" for m in messages],
        [message.tool_call_id for message in messages],
        [message.name for message in messages],
    )


def input_columns(run: Run) -> tuple[str, str, str | None, tuple[list[str | None], ...]]:
    """Return a run's options, metadata and decisions as JSON, and its messages as columns. Raises InvalidRequest."""
    columns = message_columns(run.messages)
    for column in columns:
        refuse_unstorable(column, param="messages")
    refuse_unstorable((run.tenant_id, run.user_id, run.graph))
    decisions = None if run.decisions is None else to_json(list(run.decisions))
    return options_to_json(run.options), to_json(dict(run.metadata)), decisions, columns


def message_from(row: Mapping[Any, Any]) -> Message:
    return Message(
        role=row["role"],
        content=row["content"],
        tool_calls=tuple(ToolCall(**call) for call in row["tool_calls"]),
        tool_call_id=row["tool_call_id"],
        name=row["name"],
    )


def options_to_json(options: ModelOptions) -> str:
    """Return only what was set: most runs ask for nothing."""
    return "{}" if options == ModelOptions() else to_json(asdict(options))


def options_from(row: Mapping[str, Any]) -> ModelOptions:
    return ModelOptions(**{**row, "stop": tuple(row.get("stop", ()))})


def storable_failure(failure: Failure | None) -> Failure | None:
    if failure is None:
        return None
    return replace(failure, message=storable(failure.message), param=storable(failure.param))


def failure_to_json(failure: Failure | None) -> str | None:
    kept = storable_failure(failure)
    return None if kept is None else to_json(asdict(kept))


def failure_from(row: Mapping[str, Any] | None) -> Failure | None:
    return None if row is None else Failure(**row)


def progress_to_json(progress: Progress) -> str:
    """Return how far a run had come as JSON; what it said as Postgres can hold it."""
    return to_json(asdict(replace(progress, said=storable(progress.said))))


def progress_from(row: Mapping[str, Any] | None) -> Progress | None:
    if row is None:
        return None
    return Progress(event_id=EventId(**row["event_id"]), usage=Usage(**row["usage"]), said=row["said"])


def plain(value: UUID) -> UUID:
    """Return the standard library's UUID for asyncpg's subclass of it, which no other process need know."""
    return UUID(int=value.int)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)
