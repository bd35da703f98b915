"""The OpenAI-compatible provider against the simulated upstream, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from benchmarks.upstream import Directive, Upstream
from services.errors import (
    ModelAuthRejected,
    ModelError,
    ModelMissing,
    ModelOutputTooLarge,
    ModelQuotaExhausted,
    ModelRejectedRequest,
    ModelServerError,
    ModelStreamBroken,
    ModelThrottled,
    ModelUnreachable,
)
from services.llm import PROVIDERS
from services.llm.http_errors import error_from_status, error_in_stream
from services.llm.openai import read_up_to
from services.llm.types import ChatProvider, ModelCall, ProviderSpec
from services.types import ModelOptions
from tests.services.llm.fakes import KeptSink

CALCULATOR = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Works out an expression.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
    },
}


class Sink:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.first = asyncio.Event()

    def sent(self) -> None: ...

    def tool_call(self, chars: int) -> None: ...

    def text(self, delta: str) -> None:
        self.texts.append(delta)
        self.first.set()

    def reasoning(self, delta: str) -> None:
        self.thoughts.append(delta)

    async def drain(self) -> None: ...


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
def spec(upstream: Upstream) -> ProviderSpec:
    return ProviderSpec(name="main", model="simulated", base_url=upstream.url, api_key="sk-secret")


@pytest.fixture
async def provider(spec: ProviderSpec) -> AsyncIterator[ChatProvider]:
    made = PROVIDERS["openai"](spec)
    yield made
    await made.aclose()


def asking(text: str, **more: object) -> ModelCall:
    return ModelCall(messages=[SystemMessage("be brief"), HumanMessage(text)], **more)  # type: ignore[arg-type]


async def ask(provider: ChatProvider, call: ModelCall) -> tuple[AIMessage, Sink]:
    sink = Sink()
    return await provider.generate(call, sink), sink


async def test_text_streams_and_the_answer_is_whole(provider: ChatProvider) -> None:
    """Each piece reaches the sink as it comes; the message has the text, the usage and the finish reason."""
    answer, sink = await ask(provider, asking(Directive(tokens=12, token_s=0.001).in_message()))
    assert len(sink.texts) == 12
    assert answer.content == "".join(sink.texts)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 12
    assert answer.response_metadata["finish_reason"] == "stop"


async def test_tool_calls_are_put_together(provider: ChatProvider, upstream: Upstream) -> None:
    """Arguments that arrive in fragments become one parsed call, and the schema was sent as LangChain writes it."""
    answer, sink = await ask(provider, asking("what is 1234 * 5678?", tools=[CALCULATOR]))
    [call] = answer.tool_calls
    assert (call["name"], call["args"]) == ("calculator", {"expression": "1234 * 5678"})
    assert sink.texts == []
    assert upstream.seen.last.body["tools"] == [CALCULATOR]
    assert upstream.seen.last.body["tool_choice"] == "auto"


async def test_parallel_and_malformed_tool_calls(provider: ChatProvider) -> None:
    """Two calls in one answer stay apart; arguments that are no JSON object are kept as invalid, not lost."""
    calls = ({"name": "calculator", "arguments": {"expression": "1"}}, {"name": "clock", "arguments": "{broken"})
    answer, _ = await ask(provider, asking(Directive(tool_calls=calls).in_message(), tools=[CALCULATOR]))
    assert [call["name"] for call in answer.tool_calls] == ["calculator"]
    assert [(call["name"], call["args"]) for call in answer.invalid_tool_calls] == [("clock", "{broken")]


async def test_reasoning_survives_apart_from_the_text(provider: ChatProvider) -> None:
    """Reasoning streams on its own channel and is kept in the message, outside its content."""
    answer, sink = await ask(provider, asking(Directive(reasoning=5, tokens=3).in_message()))
    assert len(sink.thoughts) == 5
    assert answer.additional_kwargs["reasoning_content"] == "".join(sink.thoughts)
    assert answer.content == "".join(sink.texts)


async def test_a_finish_reason_of_length_is_kept(provider: ChatProvider) -> None:
    """A truncated answer can be told from a finished one."""
    answer, _ = await ask(provider, asking(Directive(finish_reason="length").in_message()))
    assert answer.response_metadata["finish_reason"] == "length"


async def test_a_conversation_with_tool_results_is_converted(provider: ChatProvider, upstream: Upstream) -> None:
    """LangChain's messages reach the wire in the API's form, tool calls and results included."""
    first, _ = await ask(provider, asking("what is 2 * 3?", tools=[CALCULATOR]))
    result = ToolMessage("6", tool_call_id=first.tool_calls[0]["id"])
    answer, _ = await ask(
        provider, ModelCall(messages=[HumanMessage("what is 2 * 3?"), first, result], tools=[CALCULATOR])
    )
    assert "6" in str(answer.content)
    assert [message["role"] for message in upstream.seen.last.body["messages"]] == ["user", "assistant", "tool"]


async def test_options_reach_the_wire(provider: ChatProvider, upstream: Upstream) -> None:
    """What the client asked for is sent; what it did not ask for is not."""
    await ask(provider, asking("hi", options=ModelOptions(temperature=0.5, max_output_tokens=9, stop=("x",))))
    body = upstream.seen.last.body
    assert (body["temperature"], body["max_completion_tokens"], body["stop"]) == (0.5, 9, ["x"])
    assert "top_p" not in body
    assert "seed" not in body
    assert upstream.seen.last.authorization


async def test_connections_are_reused(provider: ChatProvider, upstream: Upstream) -> None:
    """Two calls in a row share one connection."""
    await ask(provider, asking("hi"))
    await ask(provider, asking("hi again"))
    first, second = upstream.seen.requests
    assert first.connection == second.connection


async def test_cancelling_closes_the_connection(provider: ChatProvider, upstream: Upstream) -> None:
    """A cancelled call is over for the upstream as well: it sees the connection close."""
    sink = Sink()
    question = asking(Directive(tokens=1_000, token_s=0.01).in_message())
    task = asyncio.create_task(provider.generate(question, sink))
    await sink.first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await upstream.seen.until(lambda seen: seen.closed == 1 and seen.open == 0, timeout_s=1.0)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status_400", ModelRejectedRequest),
        ("status_401", ModelAuthRejected),
        ("status_404", ModelMissing),
        ("status_429", ModelThrottled),
        ("quota", ModelQuotaExhausted),
        ("status_500", ModelServerError),
        ("status_503", ModelServerError),
        ("html", ModelStreamBroken),
        ("empty", ModelStreamBroken),
        ("cut", ModelStreamBroken),
        ("cut_unframed", ModelStreamBroken),
        ("cut_close", ModelStreamBroken),
        ("torn", ModelStreamBroken),
        ("reset", ModelStreamBroken),
    ],
)
async def test_every_fault_is_one_error_of_ours(provider: ChatProvider, fault: str, error: type[ModelError]) -> None:
    """No failure looks like an answer, and none escapes as a foreign exception."""
    with pytest.raises(error) as caught:
        await ask(provider, asking(Directive(fault=fault, tokens=8).in_message()))
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(("limit", "read"), [(100, b"one two"), (5, b"one t")])
async def test_an_error_that_comes_in_parts_is_read_whole(limit: int, read: bytes) -> None:
    """A quota that is used up is told from a throttle by the body alone, however the network cuts it."""

    class Parts:
        def __init__(self) -> None:
            self.left = [b"one", b" two"]

        async def read(self, n: int) -> bytes:
            part, *self.left = self.left or [b""]
            self.left = [part[n:], *self.left] if part[n:] else self.left
            return part[:n]

    assert await read_up_to(limit, Parts()) == read


async def test_an_answer_has_a_size_on_the_wire(provider: ChatProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever surrounds the content counts: a stream of nothing but wrapping ends too."""
    monkeypatch.setattr("services.llm.openai.MAX_STREAM_BYTES", 500)
    with pytest.raises(ModelOutputTooLarge, match="500 bytes"):
        await ask(provider, asking(Directive(tokens=100).in_message()))


async def test_a_throttle_says_when_to_come_back(provider: ChatProvider) -> None:
    """Retry-After of a 429 is kept, in seconds."""
    with pytest.raises(ModelThrottled) as caught:
        await ask(provider, asking(Directive(fault="status_429", retry_after_s=7).in_message()))
    assert caught.value.retry_after_s == 7.0


async def test_a_closed_port_is_unreachable() -> None:
    """Nothing listens: the error names the provider, not a stack of sockets."""
    provider = PROVIDERS["openai"](ProviderSpec(name="main", model="m", base_url="http://127.0.0.1:9", api_key="k"))
    with pytest.raises(ModelUnreachable, match="main"):
        await ask(provider, asking("hi"))
    await provider.aclose()


async def test_the_operators_limit_is_the_upper_one(spec: ProviderSpec, upstream: Upstream) -> None:
    """A client that asks for more tokens than the provider is configured for gets the provider's limit."""
    provider = PROVIDERS["openai"](replace(spec, max_output_tokens=50))
    await ask(provider, asking("hi", options=ModelOptions(max_output_tokens=5_000)))
    assert upstream.seen.last.body["max_completion_tokens"] == 50
    await provider.aclose()


async def test_a_request_counts_as_sent_once_it_is_on_its_way(provider: ChatProvider, upstream: Upstream) -> None:
    """The sink knows before any answer; a connection that fails sends nothing."""
    sink = KeptSink()
    hanging = asking(Directive(fault="hang").in_message())
    task = asyncio.create_task(provider.generate(hanging, sink))
    await upstream.seen.until(lambda seen: len(seen.requests) == 1, timeout_s=2.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sink.was_sent
    closed, unsent = PROVIDERS["openai"](ProviderSpec(name="x", model="m", base_url="http://127.0.0.1:9")), KeptSink()
    with pytest.raises(ModelUnreachable) as caught:
        await closed.generate(asking("hi"), unsent)
    assert not unsent.was_sent
    assert "127.0.0.1" not in str(caught.value)
    await closed.aclose()


def test_a_providers_words_are_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The client's message has the configured name and the status; the log has the body, without the key."""
    for status, code in ((400, None), (429, None), (429, "insufficient_quota"), (500, None), (401, None)):
        body = orjson.dumps({"error": {"message": "db 10.1.2.3 refused sk-secret", "code": code}})
        error = error_from_status("main", status, {}, body, secret="sk-secret")
        assert "main" in error.message
        assert f"HTTP {status}" in error.message
        assert "10.1.2.3" not in error.message
    assert "10.1.2.3" not in error_in_stream("main", {"message": "10.1.2.3 sk-secret"}, secret="sk-secret").message
    assert caplog.text.count("10.1.2.3") == 6
    assert "sk-secret" not in caplog.text
