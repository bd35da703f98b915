"""Messages to LangChain and back, and how a model's answer is settled before it enters a thread."""

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from graphs.messages import MALFORMED, finish_reason_of, from_langchain, settled, to_langchain, without_calls
from services.errors import ModelStreamBroken
from services.types import Message, ToolCall


def test_every_role_survives_the_way_there_and_back() -> None:
    """A conversation is the same after LangChain has held it, malformed arguments included."""
    conversation = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hi", name="ada"),
        Message(
            role="assistant",
            content="",
            tool_calls=(
                ToolCall(id="a", name="f", arguments='{"x": "é"}'),
                ToolCall(id="b", name="g", arguments="{broken"),
                ToolCall(id="c", name="h", arguments="[1]"),
            ),
        ),
        Message(role="tool", content="1", tool_call_id="a", name="f"),
        Message(role="assistant", content="Done."),
    )
    assert tuple(from_langchain(to_langchain(message)) for message in conversation) == conversation


def test_ids_are_made_unique() -> None:
    """Calls without an id, or with the same one, can still be told apart."""
    answer = AIMessage(
        content="",
        tool_calls=[
            {"name": "f", "args": {}, "id": None},
            {"name": "f", "args": {}, "id": "x"},
            {"name": "f", "args": {}, "id": "x"},
            {"name": "", "args": {}, "id": ""},
        ],
    )
    calls = settled(answer).tool_calls
    ids = [call["id"] for call in calls]
    assert len(set(ids)) == 4
    assert all(ids)
    assert calls[3]["name"] == "unknown"


def test_malformed_arguments_are_kept_aside() -> None:
    """What goes back to a provider is always an object; what the model wrote is not lost."""
    answer = settled(
        AIMessage(content="", invalid_tool_calls=[{"name": "f", "args": "{broken", "id": "a", "error": "no JSON"}])
    )
    assert answer.tool_calls[0]["args"] == {}
    assert answer.invalid_tool_calls == []
    assert answer.additional_kwargs == {MALFORMED: {"a": "{broken"}}


def test_what_the_provider_reported_is_kept() -> None:
    """Usage, finish reason and reasoning stay; the message's id and the raw calls go."""
    answer = AIMessage(
        content="hi",
        id="chatcmpl-1",
        additional_kwargs={"reasoning_content": "hm", "tool_calls": []},
        response_metadata={"finish_reason": "length"},
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    )
    kept = settled(answer)
    assert (kept.id, kept.additional_kwargs) == (None, {"reasoning_content": "hm"})
    assert kept.usage_metadata == answer.usage_metadata
    assert finish_reason_of(kept) == "length"


def test_text_is_found_in_blocks() -> None:
    """Content in blocks, as some providers return it, becomes its text."""
    blocks = AIMessage(
        content=[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hello"}],
        tool_calls=[{"name": "f", "args": {}, "id": "a"}],
    )
    assert from_langchain(blocks).content == "Hello"
    assert without_calls(blocks).content == "Hello"
    assert without_calls(blocks).tool_calls == []


def test_ids_of_messages_are_given() -> None:
    """The runner's ids reach LangChain, so that it can find where a turn began."""
    for message, kind in (
        (Message(role="user", content="x"), HumanMessage),
        (Message(role="system", content="x"), SystemMessage),
        (Message(role="tool", content="x", tool_call_id="a"), ToolMessage),
        (Message(role="assistant", content="x"), AIMessage),
    ):
        converted = to_langchain(message, message_id="m")
        assert isinstance(converted, kind)
        assert converted.id == "m"


def test_an_unknown_finish_reason_is_not_a_stop() -> None:
    """A message without a reason is a normal stop; one with a reason that nobody knows is a failure."""
    assert finish_reason_of(AIMessage(content="x")) == "stop"
    assert finish_reason_of(AIMessage(content="x", response_metadata={"stop_reason": "tool_use"})) == "stop"
    with pytest.raises(ModelStreamBroken, match="insufficient_system_resource"):
        finish_reason_of(AIMessage(content="x", response_metadata={"finish_reason": "insufficient_system_resource"}))


@pytest.mark.parametrize("depth", [90, 150])
def test_arguments_that_no_checkpoint_can_hold_are_text(depth: int) -> None:
    """Nested as deep as models nest, arguments stay what they are; beyond that they are what the model wrote."""
    value: object = "x"
    for _ in range(depth):
        value = [value]
    asked = settled(AIMessage(content="", tool_calls=[{"name": "f", "args": {"a": value}, "id": "c"}]))
    JsonPlusSerializer().dumps_typed([asked])
    assert (asked.tool_calls[0]["args"] == {}) is (depth > 100)
    assert from_langchain(asked).tool_calls[0].arguments == json.dumps({"a": value})


def test_numbers_that_no_checkpoint_can_hold_are_text() -> None:
    """Whole numbers of up to 64 bits are kept; a longer one would fail the run, so the call is one that is not made."""
    for number, kept in ((2**64 - 1, True), (-(2**63), True), (2**64, False), (10**30, False)):
        asked = settled(AIMessage(content="", tool_calls=[{"name": "f", "args": {"n": number}, "id": "c"}]))
        JsonPlusSerializer().dumps_typed([asked])
        assert (asked.tool_calls[0]["args"] == {"n": number}) is kept
        assert from_langchain(asked).tool_calls[0].arguments == f'{{"n": {number}}}'
