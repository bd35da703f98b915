"""Between our messages and LangChain's, and what a model's answer must look like before it may enter a thread."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCall as LangChainCall

from graphs.provenance import MARK
from services.llm.finish import known_finish_reason
from services.types import FinishReason, Message, ToolCall

MALFORMED = "malformed_arguments"
"""Key in `additional_kwargs`: call id -> the argument text as the model wrote it, where that was no JSON object."""

MAX_EVENT_CHARS = 2_000
"""Of what a model wrote into a call, in an event: the whole stands in the thread, and a message between processes has a cap."""

MAX_DEPTH = 100
"""Of arguments. What holds them is nested too, and LangGraph's serializer goes 255 deep."""

_FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "tool_calls": "stop",
    "length": "length",
    "content_filter": "content_filter",
}


def shortened(text: str, max_chars: int = MAX_EVENT_CHARS) -> str:
    """Return the text as an event carries it: whole, or its beginning and how much is missing."""
    return text if len(text) <= max_chars else f"{text[:max_chars]}… [{len(text) - max_chars} more characters]"


def text_of(message: BaseMessage) -> str:
    """The text of a message, whether its content is a string or a list of blocks."""
    return message.content if isinstance(message.content, str) else str(message.text)


def to_langchain(message: Message, *, message_id: str | None = None) -> BaseMessage:
    match message.role:
        case "system":
            return SystemMessage(content=message.content, id=message_id)
        case "user":
            return HumanMessage(content=message.content, name=message.name, id=message_id)
        case "tool":
            return ToolMessage(
                content=message.content, tool_call_id=message.tool_call_id or "", name=message.name, id=message_id
            )
        case "assistant":
            pairs = [_parsed(call) for call in message.tool_calls]
            return AIMessage(
                content=message.content,
                name=message.name,
                id=message_id,
                tool_calls=[call for call, _ in pairs],
                additional_kwargs=_malformed({call["id"]: raw for call, raw in pairs if raw is not None}),
            )


def from_langchain(message: BaseMessage) -> Message:
    """Return the message as ours. Content that is not text (images, reasoning blocks) is left out."""
    content = text_of(message)
    match message:
        case AIMessage():
            calls = tuple(
                ToolCall(id=call["id"] or "", name=call["name"], arguments=arguments_of(message, call))
                for call in message.tool_calls
            )
            return Message(role="assistant", content=content, tool_calls=calls, name=message.name)
        case ToolMessage():
            return Message(
                role="tool",
                content=content,
                tool_call_id=message.tool_call_id,
                name=message.name,
                failed=message.status == "error",
            )
        case SystemMessage():
            return Message(role="system", content=content)
        case _:
            return Message(role="user", content=content, name=message.name)


def finish_reason_of(message: BaseMessage) -> FinishReason:
    """Why the model stopped; a message that gives no reason, such as one a graph wrote itself, is a normal stop.

    Raises ModelStreamBroken for a reason that is not known.
    """
    metadata = message.response_metadata
    reason = metadata.get("finish_reason") or metadata.get("stop_reason") or metadata.get("done_reason")
    return _FINISH_REASONS[known_finish_reason(reason)] if reason else "stop"


def settled(answer: AIMessage) -> AIMessage:
    """Return a model's answer in the form in which a thread keeps it: one that any provider accepts as history.

    Every call has an id of its own, a name and an object for its arguments. What is no JSON object, or one that no checkpoint
    can hold, moves to `additional_kwargs[MALFORMED]` as text. The provider's message id goes, because some repeat it and
    LangGraph merges by id.
    """
    calls: list[LangChainCall] = []
    malformed: dict[str, str] = {}
    taken: set[str] = set()
    for asked in (*answer.tool_calls, *answer.invalid_tool_calls):
        call_id = asked["id"] or f"call_{len(calls)}"
        if call_id in taken:
            call_id = f"{call_id}_{len(calls)}"
        taken.add(call_id)
        arguments = asked["args"]
        if not isinstance(arguments, dict):
            malformed[call_id] = arguments or ""
            arguments = {}
        elif not _can_be_kept(arguments):
            malformed[call_id] = json.dumps(arguments, ensure_ascii=False, default=str)
            arguments = {}
        calls.append(LangChainCall(name=asked["name"] or "unknown", args=arguments, id=call_id, type="tool_call"))
    return _rebuilt(answer, answer.content, calls, malformed)


def _can_be_kept(value: Any, depth: int = 0) -> bool:
    """Whether a checkpoint can hold it: whole numbers of more than 64 bits, and what is nested too deep, it cannot."""
    match value:
        case dict():
            return depth < MAX_DEPTH and all(_can_be_kept(item, depth + 1) for item in value.values())
        case list():
            return depth < MAX_DEPTH and all(_can_be_kept(item, depth + 1) for item in value)
        case int():
            return -(2**63) <= value < 2**64
        case _:
            return True


def without_calls(answer: AIMessage) -> AIMessage:
    """Return the answer's text alone: for a model that asks for tools when it was given none."""
    return _rebuilt(answer, text_of(answer), [], {})


def arguments_of(message: AIMessage, call: LangChainCall) -> str:
    """The JSON text of a call's arguments, or what the model wrote instead of JSON."""
    raw = malformed_arguments(message, call)
    return json.dumps(call["args"], ensure_ascii=False, default=str) if raw is None else raw


def malformed_arguments(message: AIMessage, call: LangChainCall) -> str | None:
    """What the model wrote instead of a JSON object, None where it wrote one."""
    raw = message.additional_kwargs.get(MALFORMED, {}).get(call["id"])
    return raw if isinstance(raw, str) else None


def instructed(prompt: str, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Put the operator's prompt before a conversation, with the client's own system messages below it.

    There is one system message, at the front, since several providers accept no other.
    """
    theirs = (text_of(message) for message in messages if isinstance(message, SystemMessage))
    texts = dict.fromkeys(text for text in (prompt, *theirs) if text)
    rest = [message for message in messages if not isinstance(message, SystemMessage)]
    return [SystemMessage(content="\n\n".join(texts)), *rest] if texts else rest


def spoken(messages: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Return what people and assistants said to each other, without tool calls and their results."""
    return [
        message
        for message in messages
        if isinstance(message, HumanMessage) or (isinstance(message, AIMessage) and not message.tool_calls)
    ]


def _rebuilt(answer: AIMessage, content: Any, calls: list[LangChainCall], malformed: dict[str, str]) -> AIMessage:
    # "tool_calls" and "function_call" are the raw forms that LangChain would parse once more; no provider says what an answer
    # stands on.
    left_out = {"tool_calls", "function_call", MARK}
    extra = {key: value for key, value in answer.additional_kwargs.items() if key not in left_out}
    return AIMessage(
        content=content,
        name=answer.name,
        tool_calls=calls,
        additional_kwargs=extra | _malformed(malformed),
        response_metadata=answer.response_metadata,
        usage_metadata=answer.usage_metadata,
    )


def _malformed(by_id: dict[str | None, str] | dict[str, str]) -> dict[str, Any]:
    return {MALFORMED: by_id} if by_id else {}


def _parsed(call: ToolCall) -> tuple[LangChainCall, str | None]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    known = isinstance(arguments, dict) and _can_be_kept(arguments)
    parsed = LangChainCall(name=call.name, args=arguments if known else {}, id=call.id, type="tool_call")
    return parsed, None if known else call.arguments
