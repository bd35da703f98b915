"""The state that every graph of ours keeps: the messages of a thread."""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.graph.message import add_messages

from graphs.history import Dropped


def add_turn(left: list[AnyMessage], right: Any) -> list[AnyMessage]:
    """LangGraph's `add_messages`, which also lets a user's message close what an interrupted turn left open.

    A run that is cancelled or fails while its tools are at work is saved with calls that nobody will ever answer, and every
    provider refuses such a history. They are dropped when the next user message arrives, so a thread heals by itself.
    """
    added = right if isinstance(right, list) else [right]
    if any(isinstance(message, HumanMessage) for message in added):
        left = _without_open_calls(left)
    return add_messages(left, added)  # type: ignore[return-value, arg-type]  # typed wider than what it does with lists


def _without_open_calls(messages: list[AnyMessage]) -> list[AnyMessage]:
    answered: set[str] = set()
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
            continue
        if isinstance(message, AIMessage) and any(call["id"] not in answered for call in message.tool_calls):
            return messages[:index]
        break
    return messages


class State(TypedDict):
    """What a thread's checkpoint holds. Graphs with more to remember within a turn extend it."""

    messages: Annotated[list[AnyMessage], add_turn]
    summary: NotRequired[Dropped]
    """Which of the messages models are no longer shown, and the notes on them: `graphs.history`."""


def this_turn(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """Return what came after the last user message."""
    for index in range(len(messages) - 1, -1, -1):
        if isinstance(messages[index], HumanMessage):
            return messages[index + 1 :]
    return messages


def tool_rounds(messages: Sequence[BaseMessage]) -> int:
    """How many answers of this turn asked for tools."""
    return sum(1 for message in this_turn(messages) if isinstance(message, AIMessage) and message.tool_calls)
