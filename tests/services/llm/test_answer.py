"""What a provider may send as a chunk, and what is made of anything else: over a socket, as it would come."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from services.errors import ModelStreamBroken
from services.llm.answer import MAX_TOKEN_COUNT
from services.llm.openai import OpenAIProvider
from services.llm.types import ModelCall, ProviderSpec
from tests.services.llm.fakes import KeptSink, delta, stream_of

CALL = ModelCall(messages=[HumanMessage("hi")])
STOP = delta("stop")


async def answer_to(sink: KeptSink, *chunks: object) -> AIMessage:
    async with stream_of(*chunks) as url:
        provider = OpenAIProvider(ProviderSpec(name="main", model="m", base_url=url, api_key="k"))
        try:
            return await provider.generate(CALL, sink)
        finally:
            await provider.aclose()


def call(**fields: object) -> dict[str, object]:
    return delta(tool_calls=[fields])


@pytest.mark.parametrize(
    "chunk",
    [
        [],
        7,
        {"choices": {"0": 1}},
        {"choices": [7]},
        {"choices": [{"delta": "text"}]},
        delta(content=["a", "b"]),
        delta(content=7),
        delta(content={"text": "a"}),
        delta(reasoning_content=[1]),
        delta(tool_calls=7),
        delta(tool_calls=["f"]),
        call(index="0", function={"name": "f"}),
        call(index=0.5, function={"name": "f"}),
        call(index=0, function="f"),
        call(index=0, function={"name": 7}),
        call(index=0, function={"name": "f", "arguments": {"a": 1}}),
        call(index=0, id=7, function={"name": "f"}),
        delta(finish_reason=["stop"]),
        {"choices": [], "usage": 7},
        {"choices": [], "usage": {"prompt_tokens": "7"}},
        {"choices": [], "usage": {"prompt_tokens": 1, "prompt_tokens_details": [1]}},
        {"choices": [], "model": 7},
        {"choices": [], "id": {"a": 1}},
    ],
    ids=str,
)
async def test_a_chunk_of_another_shape_breaks_the_stream(chunk: object) -> None:
    """It is one error of ours, and nothing but text has reached the sink."""
    sink = KeptSink()
    with pytest.raises(ModelStreamBroken):
        await answer_to(sink, chunk, STOP)
    assert (sink.texts, sink.thoughts) == ([], [])


async def test_calls_with_and_without_a_number_stand_side_by_side() -> None:
    """A call without an index is one of its own, after those that have come."""
    first = call(index=3, id="a", function={"name": "f", "arguments": "{}"})
    second = call(index=None, id="b", function={"name": "g", "arguments": "{}"})
    third = call(id="c", function={"name": "h"})
    sink = KeptSink()
    answer = await answer_to(sink, first, second, third, delta("tool_calls"))
    assert [(c["id"], c["name"]) for c in answer.tool_calls] == [("a", "f"), ("b", "g"), ("c", "h")]
    assert sink.tool_call_chars == 7


@pytest.mark.parametrize(("reported", "counted"), [(-5, 0), (10**19, MAX_TOKEN_COUNT), (7.0, 7), (None, 0), (12, 12)])
async def test_token_counts_are_kept_within_bounds(reported: object, counted: int) -> None:
    """No count that a provider reports is negative, fractional or more than a database holds."""
    usage = {
        "prompt_tokens": reported,
        "completion_tokens": reported,
        "completion_tokens_details": {"reasoning_tokens": reported},
    }
    answer = await answer_to(KeptSink(), STOP, {"choices": [], "usage": usage})
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == answer.usage_metadata["output_tokens"] == counted
    assert answer.usage_metadata.get("output_token_details", {}).get("reasoning", 0) == counted


async def test_a_refusal_is_what_the_model_says() -> None:
    """Where a schema was asked for, a model refuses in a field of its own: it is text like any other."""
    sink = KeptSink()
    answer = await answer_to(sink, delta(refusal="I cannot "), delta(refusal="help.", content=None), STOP)
    assert answer.content == "".join(sink.texts) == "I cannot help."


@pytest.mark.parametrize("reason", ["insufficient_system_resource", "error", "abort", "MALFORMED_FUNCTION_CALL"])
async def test_an_answer_that_did_not_end_well_is_a_failure(reason: str) -> None:
    """A finish reason that is not a known end fails the call, and is named."""
    with pytest.raises(ModelStreamBroken, match=reason):
        await answer_to(KeptSink(), delta(content="half"), delta(reason))


@pytest.mark.parametrize(
    ("reason", "known"), [("end_turn", "stop"), ("MAX_TOKENS", "length"), ("function_call", "tool_calls")]
)
async def test_known_ends_have_one_name(reason: str, known: str) -> None:
    """Other providers' words for the ends of an answer become OpenAI's."""
    answer = await answer_to(KeptSink(), delta(content="done"), delta(reason))
    assert answer.response_metadata["finish_reason"] == known
