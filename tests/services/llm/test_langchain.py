"""Any LangChain model as a provider: its ends, limits and errors are those of our own stream."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field

from services.errors import ModelRejectedRequest, ModelStreamBroken
from services.llm.answer import MAX_TOKEN_COUNT
from services.llm.langchain import LangChainProvider
from services.llm.types import ModelCall, ProviderSpec
from services.types import ModelOptions
from tests.services.llm.fakes import KeptSink

KEY = "sk-secret"


class Scripted(BaseChatModel):
    """Streams `chunks`, then raises `failure` if there is one; remembers the options of the call."""

    model: str = "m"
    api_key: str = ""
    chunks: list[Any] = Field(default_factory=list)
    failure: Any = None
    asked: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        self.asked.update(kwargs)
        for chunk in self.chunks:
            yield ChatGenerationChunk(message=chunk)
        if self.failure is not None:
            raise self.failure


class Refused(Exception):
    status_code = 400


def text(said: str = "", **metadata: Any) -> AIMessageChunk:
    return AIMessageChunk(content=said, response_metadata=metadata)


def spec(**arguments: Any) -> ProviderSpec:
    return ProviderSpec(name="main", model="m", api_key=KEY, arguments=arguments, max_output_tokens=100)


async def ask(model: Scripted, sink: KeptSink | None = None, **arguments: Any) -> AIMessage:
    provider = LangChainProvider(spec(**arguments), model)
    call = ModelCall(messages=[HumanMessage("hi")], options=ModelOptions(max_output_tokens=5_000))
    return await provider.generate(call, sink or KeptSink())


async def test_an_answer_is_joined() -> None:
    """Text reaches the sink piece by piece; a reason that comes twice is still one."""
    sink = KeptSink()
    answer = await ask(Scripted(chunks=[text("a"), text("b", finish_reason="STOP"), text(finish_reason="STOP")]), sink)
    assert (sink.texts, answer.content, sink.was_sent) == (["a", "b"], "ab", True)
    assert answer.response_metadata["finish_reason"] == "stop"


async def test_an_answer_without_a_reason_broke_off() -> None:
    """A stream that merely ends is not a finished answer, unless the settings say that this model gives no reasons."""
    with pytest.raises(ModelStreamBroken, match="finish reason"):
        await ask(Scripted(chunks=[text("half")]))
    answer = await ask(Scripted(chunks=[text("whole")]), finish_reason_optional=True)
    assert answer.response_metadata["finish_reason"] == "stop"


async def test_an_unknown_reason_is_a_failure() -> None:
    """What is not a known end fails the call, whether or not reasons are optional."""
    with pytest.raises(ModelStreamBroken, match="error"):
        await ask(Scripted(chunks=[text("half", stop_reason="error")]), finish_reason_optional=True)


async def test_the_option_is_not_the_constructors() -> None:
    """`finish_reason_optional` is ours: the chat model is built without it."""
    LangChainProvider(spec(**{"class": f"{__name__}:Strict", "finish_reason_optional": True}))


class Strict(Scripted):
    model_config = ConfigDict(extra="forbid")


async def test_text_reasoning_and_tool_calls_reach_the_sink() -> None:
    """Whatever a chunk holds is told apart, so that the stream validator sees all of it."""
    piece = {"name": "f", "args": "x" * 40, "id": "a", "index": 0, "type": "tool_call_chunk"}
    called = AIMessageChunk(content="", tool_call_chunks=[piece])
    thought = AIMessageChunk(content="", additional_kwargs={"reasoning_content": "y"})
    block = AIMessageChunk(content=[{"type": "thinking", "thinking": "hm", "index": 0}])
    sink = KeptSink()
    await ask(Scripted(chunks=[text("z"), thought, block, called, text(finish_reason="stop")]), sink)
    assert (sink.texts, sink.thoughts, sink.tool_call_chars) == (["z"], ["y", "hm"], 41)


async def test_the_operators_limit_is_the_upper_one() -> None:
    """A client that asks for more tokens than the provider is configured for gets the provider's limit."""
    model = Scripted(chunks=[text("a", finish_reason="stop")])
    await ask(model)
    assert model.asked["max_tokens"] == 100


async def test_reported_tokens_are_kept_within_bounds() -> None:
    """An integration's counts are checked like those of our own stream."""
    last = text("a", finish_reason="stop")
    last.usage_metadata = {"input_tokens": -1, "output_tokens": 10**19, "total_tokens": 3}
    answer = await ask(Scripted(chunks=[last]))
    assert answer.usage_metadata == {"input_tokens": 0, "output_tokens": MAX_TOKEN_COUNT, "total_tokens": 3}


@pytest.mark.parametrize(("failure", "error"), [(Refused, ModelRejectedRequest), (OSError, ModelStreamBroken)])
async def test_an_sdks_words_are_for_the_log(
    failure: type[Exception], error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """The client's message has nothing of the exception's text; the log has it, without the key."""
    with caplog.at_level(logging.WARNING), pytest.raises(error) as caught:
        await ask(Scripted(failure=failure(f"host 10.1.2.3 said no to {KEY}")))
    assert "10.1.2.3" not in str(caught.value)
    assert "10.1.2.3" in caplog.text
    assert KEY not in caplog.text + str(caught.value)
