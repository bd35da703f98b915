"""The simulated upstream: what it answers when it is well."""

import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from openai import AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError

from benchmarks import stamps
from benchmarks.upstream import ChatRequest, Directive, DirectiveError, Upstream, in_turn
from benchmarks.upstream.answers import compose, streamed
from benchmarks.upstream.directive import directive_in
from benchmarks.upstream.request import read_request
from tests.benchmarks.conftest import RawClient, chat

CALCULATOR: Any = {"type": "function", "function": {"name": "calculator", "parameters": {"type": "object"}}}


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=upstream.url, api_key="a-secret-key", max_retries=0) as made:
        yield made


async def chunks(client: AsyncOpenAI, content: str, **more: Any) -> list[Any]:
    return [chunk async for chunk in await client.chat.completions.create(**chat(content, **more))]


async def message(client: AsyncOpenAI, content: str, **more: Any) -> Any:
    return await client.chat.completions.create(**chat(content, stream=False, **more))


def text_of(received: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in received if chunk.choices)


async def test_streamed_and_whole_answers_are_the_same_text(client: AsyncOpenAI) -> None:
    """The text is deterministic, has the asked length of about four characters a token, and ends with `stop`."""
    question = Directive(tokens=64).in_message()
    received = await chunks(client, question)
    whole = await message(client, question)
    assert text_of(received) == whole.choices[0].message.content
    assert 64 * 3 < len(text_of(received)) < 64 * 5
    assert sum(bool(chunk.choices[0].delta.content) for chunk in received) == 64
    assert received[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"


async def test_usage_comes_last_and_only_when_asked_for(client: AsyncOpenAI) -> None:
    """`include_usage` adds one chunk without choices whose usage counts the tokens."""
    question = Directive(tokens=5, reasoning=2).in_message()
    assert all(chunk.usage is None for chunk in await chunks(client, question))
    last = (await chunks(client, question, stream_options={"include_usage": True}))[-1]
    assert last.choices == []
    assert last.usage.completion_tokens == 7
    assert last.usage.completion_tokens_details.reasoning_tokens == 2
    assert last.usage.total_tokens == last.usage.prompt_tokens + 7
    assert (await message(client, question)).usage == last.usage


async def test_reasoning_precedes_the_answer(client: AsyncOpenAI) -> None:
    """`reasoning` sends that many `reasoning_content` deltas, then the text."""
    received = await chunks(client, Directive(tokens=2, reasoning=3).in_message())
    kinds = [
        "reasoning" if getattr(chunk.choices[0].delta, "reasoning_content", None) else "text"
        for chunk in received[1:-1]
    ]
    assert kinds == ["reasoning"] * 3 + ["text"] * 2


async def test_arithmetic_is_a_call_of_the_calculator_in_fragments(client: AsyncOpenAI) -> None:
    """The name comes first, the arguments in several pieces, and the reason is `tool_calls`."""
    received = await chunks(client, "Please: what is 1234 * 5678?", tools=[CALCULATOR])
    parts = [chunk.choices[0].delta.tool_calls[0] for chunk in received if chunk.choices[0].delta.tool_calls]
    assert parts[0].function.name == "calculator"
    assert parts[0].function.arguments == ""
    assert len(parts) > 3
    assert "".join(part.function.arguments for part in parts) == '{"expression":"1234 * 5678"}'
    assert received[-1].choices[0].finish_reason == "tool_calls"
    whole = (await message(client, "what is 1234 * 5678?", tools=[CALCULATOR])).choices[0].message
    assert whole.tool_calls[0].function.arguments == '{"expression":"1234 * 5678"}'
    assert whole.content is None


@pytest.mark.parametrize("more", [{}, {"tools": [CALCULATOR], "tool_choice": "none"}])
async def test_without_a_calculator_arithmetic_is_answered_in_text(client: AsyncOpenAI, more: dict[str, Any]) -> None:
    """No tool is called that the request does not offer."""
    assert (await message(client, "what is 2 + 2?", **more)).choices[0].finish_reason == "stop"


async def test_a_tool_result_is_answered_with_it(client: AsyncOpenAI) -> None:
    """After the tool messages of the turn the answer names every result, and calls nothing again."""
    call = {"id": "call_1", "type": "function", "function": {"name": "calculator", "arguments": "{}"}}
    messages: Any = [
        {"role": "user", "content": "what is 1234 * 5678?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "7006652"},
        {"role": "tool", "tool_call_id": "call_2", "content": "8"},
    ]
    answer = await client.chat.completions.create(model="simulated", messages=messages, tools=[CALCULATOR])
    assert answer.choices[0].message.content == "The result is 7006652, 8."


async def test_parallel_calls_by_directive(client: AsyncOpenAI) -> None:
    """Each call has its own index and id; arguments given as text are sent as they are, however broken."""
    calls = ({"name": "search", "arguments": {"query": "a]]b"}}, {"name": "clock", "arguments": '{"zone": '})
    question = Directive(tool_calls=calls).in_message()
    received = await chunks(client, question)
    parts = [part for chunk in received for part in chunk.choices[0].delta.tool_calls or []]
    arguments = {index: "".join(part.function.arguments for part in parts if part.index == index) for index in (0, 1)}
    assert arguments == {0: '{"query":"a]]b"}', 1: '{"zone": '}
    assert [part.function.name for part in parts if part.function.name] == ["search", "clock"]
    assert len({part.id for part in parts if part.id}) == 2


async def test_exact_chunks_and_finish_reason(client: AsyncOpenAI) -> None:
    """`chunks` are the deltas one for one, `text` is cut every four characters, `finish_reason` is what is said."""
    received = await chunks(client, Directive(chunks=("for", "bid", "den"), finish_reason="length").in_message())
    assert [chunk.choices[0].delta.content for chunk in received[1:-1]] == ["for", "bid", "den"]
    assert received[-1].choices[0].finish_reason == "length"
    received = await chunks(client, Directive(text='sAy "ü"').in_message())
    assert [chunk.choices[0].delta.content for chunk in received[1:-1]] == ["sAy ", '"ü"']


async def test_structured_output_satisfies_the_schema(client: AsyncOpenAI) -> None:
    """A JSON schema in `response_format` is answered with JSON of that shape, references and choices included."""
    schema = {
        "type": "object",
        "properties": {
            "score": {"type": "integer", "minimum": 3},
            "reason": {"$ref": "#/$defs/reason"},
            "kind": {"enum": ["a", "b"]},
        },
        "$defs": {"reason": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    }
    answer = await message(
        client, "judge", response_format={"type": "json_schema", "json_schema": {"name": "v", "schema": schema}}
    )
    assert answer.choices[0].message.content == '{"score":3,"reason":"simulated","kind":"a"}'


async def test_stamps_tell_when_each_token_was_sent(client: AsyncOpenAI) -> None:
    """Every token carries a send time, the first also its request's arrival, and none is before its time."""
    before = stamps.now_us()
    received = await chunks(client, Directive(tokens=4, token_s=0.02, first_token_s=0.05, stamp=True).in_message())
    now = stamps.now_us()
    found = list(stamps.find(text_of(received).encode()))
    assert [mark for mark, _ in found] == [b"^", b"~", b"~", b"~", b"~"]
    ages = [stamps.age_us(letters, now) for _, letters in found]
    assert now - before >= ages[0] > ages[1] > ages[2] > ages[3] > ages[4] >= 0
    # From the start of the reply: one that is late does not hold up those behind it, so a gap may be shorter.
    for number, age in enumerate(ages[1:]):
        assert ages[0] - age >= 45_000 + 20_000 * number


async def test_the_directive_is_found_in_header_metadata_and_message(client: AsyncOpenAI) -> None:
    """All three places work, the message wins, and a directive of an earlier turn does not count."""
    by_header = await client.chat.completions.create(
        **chat("x", stream=False), extra_headers={"x-simulate": '{"text": "header"}'}
    )
    assert by_header.choices[0].message.content == "header"
    metadata = {"simulate": '{"text": "metadata"}'}
    assert (await message(client, "x", metadata=metadata)).choices[0].message.content == "metadata"
    question = [{"type": "text", "text": 'x [[simulate {"text": "message"}]] y'}]
    assert (await message(client, question, metadata=metadata)).choices[0].message.content == "message"  # type: ignore[arg-type]
    turns: Any = [{"role": "user", "content": 'x [[simulate {"text": "old"}]]'}, {"role": "user", "content": "y"}]
    assert (await client.chat.completions.create(model="m", messages=turns)).choices[0].message.content != "old"


@pytest.mark.parametrize(
    "written",
    [
        '{"token": 3}',
        '{"tokens": -1}',
        '{"tokens": "3"}',
        '{"stamp": 1}',
        "[]",
        '{"tokens": 3',
        '{"fault": "no such fault"}',
    ],
)
async def test_an_unreadable_directive_is_refused(client: AsyncOpenAI, written: str) -> None:
    """A mistake in a test's directive is a 400 that says so, never a default answer."""
    with pytest.raises(BadRequestError) as refused:
        await message(client, f"[[simulate {written}]]")
    assert refused.value.code == "bad_directive"


def test_a_directive_survives_its_own_written_form() -> None:
    """What `in_message` writes is what is read, and an open end is an error."""
    directive = Directive(tokens=7, chunks=("]]", "b"), stamp=True, tool_calls=({"name": "f"},))
    assert directive_in(f"hello {directive.in_message()} there") == directive
    assert directive_in("hello") is None
    with pytest.raises(DirectiveError):
        directive_in('[[simulate {"tokens": 3}')


async def test_a_script_decides_in_turn(client: AsyncOpenAI, upstream: Upstream) -> None:
    """An injected script sees each request and overrules its directive until it has nothing to say."""
    upstream.script = in_turn(Directive(text="one"), None, Directive(text="three"))
    answers = [(await message(client, '[[simulate {"text": "own"}]]')).choices[0].message.content for _ in range(4)]
    assert answers == ["one", "own", "three", "own"]
    upstream.script = lambda request: (
        Directive(text=f"{request.user_text}!") if isinstance(request, ChatRequest) else None
    )
    assert (await message(client, "hi")).choices[0].message.content == "hi!"


async def test_models_are_listed_and_unknown_routes_are_not_found(client: AsyncOpenAI) -> None:
    """GET /v1/models has OpenAI's shape; everything else is 404."""
    assert [model.id async for model in client.models.list()] == ["simulated"]
    with pytest.raises(NotFoundError):
        await client.embeddings.create(model="simulated", input="x")


async def test_a_key_is_required_only_when_configured() -> None:
    """With `api_key` another key is 401 and the right one is served, on both routes."""
    async with Upstream(api_key="right") as upstream:
        async with AsyncOpenAI(base_url=upstream.url, api_key="wrong", max_retries=0) as client:
            with pytest.raises(AuthenticationError):
                await message(client, "hi")
            with pytest.raises(AuthenticationError):
                await client.models.list()
            assert (await message(client.with_options(api_key="right"), "hi")).choices[0].finish_reason == "stop"
        assert [seen.authorization for seen in upstream.seen.requests] == [True, True]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"messages": []}', b'{"messages": 3}', b'{"messages": [{}], "tools": [3]}']
)
async def test_an_unreadable_request_is_a_400(raw: RawClient, body: bytes) -> None:
    """A body that is no chat completion request is refused, and the server lives on."""
    assert (await raw.ask(body)).status == 400


async def test_it_listens_again_on_the_same_port() -> None:
    """`stop` cuts what is open, and `start` brings the same address back, so that an outage can be played."""
    upstream = Upstream()
    await upstream.start()
    url, client = upstream.url, RawClient(upstream)
    await client.open(chat(Directive(fault="stall").in_message()))
    await client.until(b"assistant")
    await upstream.stop()
    await client.rest()
    await upstream.start()
    assert upstream.url == url
    assert (await client.ask(chat("hi"))).status == 200
    await upstream.stop()


def test_the_first_token_waits_only_for_its_own_delay() -> None:
    """Role after the first-token delay, the first token with it, every other token one token time later."""
    request = read_request(number=1, body=orjson.dumps(chat("hi")), headers={})
    directive = Directive(tokens=3, first_token_s=0.5, token_s=0.02)
    reply = streamed(request, directive, compose(request, directive, arrived_us=0))
    assert [delay_s for delay_s, _ in reply.opening] == [0.5, 0.0, 0.02, 0.02]
    assert {delay_s for delay_s, _ in reply.closing} == {0.0}


async def test_first_token_and_token_delays_are_kept(client: AsyncOpenAI) -> None:
    """A whole answer takes the time that its tokens would have taken."""
    began = time.monotonic()
    await message(client, Directive(tokens=4, first_token_s=0.05, token_s=0.02).in_message())
    assert time.monotonic() - began >= 0.1
