"""The openai SDK and ChatOpenAI, unmodified, over a real socket."""

import asyncio
from typing import Any
from uuid import UUID

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletionChunk

from services.errors import ModelStreamBroken, Overloaded
from services.events import ReasoningDelta, RunCancelled, RunCompleted, TextDelta, ToolFinished, ToolStarted
from services.types import FinishReason, Usage
from tests.deployments.http.fakes import KEY
from tests.deployments.http.scripted_agent import COMPLETED
from tests.deployments.http.served import Served

ASK: list[Any] = [{"role": "user", "content": "Say hello."}]
BRIEF: Any = {"role": "system", "content": "Be brief."}


async def test_a_whole_completion(served: Served) -> None:
    """The SDK's plain call returns text, finish reason and usage."""
    async with served.client() as client:
        completion = await client.chat.completions.create(model="react", messages=ASK)
    assert completion.choices[0].message.content == "Hello"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.total_tokens) == (7, 10)


async def test_a_streamed_completion(served: Served) -> None:
    """The role comes first, then text, then the finish reason; usage only in the last chunk, and only if asked for."""
    async with served.client() as client:
        stream = await client.chat.completions.create(
            model="react", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        plain = [c async for c in await client.chat.completions.create(model="react", messages=ASK, stream=True)]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "Hello"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3
    assert all(chunk.choices and chunk.usage is None for chunk in plain)


async def test_the_blocking_client(served: Served) -> None:
    """The SDK's synchronous client works too, streamed and whole."""

    def ask() -> tuple[str | None, str]:
        with openai.OpenAI(api_key=KEY, base_url=served.url) as client:
            whole = client.chat.completions.create(model="react", messages=ASK)
            stream = client.chat.completions.create(model="react", messages=ASK, stream=True)
            return whole.choices[0].message.content, "".join(c.choices[0].delta.content or "" for c in stream)

    assert await asyncio.to_thread(ask) == ("Hello", "Hello")


async def test_the_sdk_streams_with_its_accumulating_helper(served: Served) -> None:
    """`chat.completions.stream`, which checks every chunk against its model, reaches the same answer."""
    async with served.client() as client, client.chat.completions.stream(model="react", messages=ASK) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "Hello"


async def test_models_are_listed_and_retrieved(served: Served) -> None:
    """Each graph is a model; another name is the SDK's NotFoundError."""
    async with served.client() as client:
        assert [model.id async for model in client.models.list()] == ["react", "planner"]
        assert (await client.models.retrieve("planner")).owned_by == "mainstay"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("gpt-4o")


async def test_tools_stay_on_the_server_and_reasoning_is_apart(served: Served) -> None:
    """No chunk has tool calls, which a client would try to run; reasoning has its own field."""
    served.rig.agent.steps = (
        ReasoningDelta(text="I multiply."),
        ToolStarted(call_id="c1", name="calculator", arguments="{}"),
        ToolFinished(call_id="c1", name="calculator", ok=True, result="4", duration_s=0.1),
        TextDelta(text="4"),
        COMPLETED,
    )
    async with served.client() as client:
        chunks = [c async for c in await client.chat.completions.create(model="react", messages=ASK, stream=True)]
        whole = await client.chat.completions.create(model="react", messages=ASK)
    assert all(chunk.choices[0].delta.tool_calls is None for chunk in chunks)
    assert [(c.choices[0].delta.model_extra or {}).get("reasoning_content") for c in chunks][1] == "I multiply."
    assert (whole.choices[0].message.model_extra or {})["reasoning_content"] == "I multiply."


async def test_work_on_the_way_is_not_the_answer(served: Served) -> None:
    """Text with a source, of a planner or a specialist, never becomes part of a whole completion's content."""
    served.rig.agent.steps = [TextDelta(text="a plan", source="planner"), TextDelta(text="Done."), COMPLETED]
    async with served.client() as client:
        completion = await client.chat.completions.create(model="react", messages=ASK)
    assert completion.choices[0].message.content == "Done."


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_other_finish_reasons_are_passed_on(served: Served, reason: FinishReason) -> None:
    """An answer that was cut, or filtered, says so in the field that clients look at."""
    served.rig.agent.steps = (
        TextDelta(text="Hel"),
        RunCompleted(finish_reason=reason, usage=Usage(), duration_s=0.1),
    )
    async with served.client() as client:
        whole = await client.chat.completions.create(model="react", messages=ASK)
    assert whole.choices[0].finish_reason == reason


@pytest.mark.parametrize(
    "end", [ModelStreamBroken("The provider was cut off."), RunCancelled(reason="gone", usage=Usage(), duration_s=0.1)]
)
async def test_a_failure_in_the_stream_is_raised_by_the_sdk(served: Served, end: ModelStreamBroken) -> None:
    """After some text the SDK raises APIError, and no chunk had a finish reason: a part cannot pass for the whole."""
    served.rig.agent.steps = (TextDelta(text="Hel"), end)
    chunks: list[ChatCompletionChunk] = []

    async def read() -> None:
        async with served.client() as client:
            async for chunk in await client.chat.completions.create(model="react", messages=ASK, stream=True):
                chunks.append(chunk)

    with pytest.raises(openai.APIError) as caught:
        await read()
    assert caught.value.code in ("model_stream_broken", "run_cancelled")
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["next"] == "continue"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None]


@pytest.mark.parametrize(
    ("end", "status"),
    [(ModelStreamBroken("Cut."), 502), (RunCancelled(reason="gone", usage=Usage(), duration_s=0.1), 409)],
)
async def test_a_failure_of_a_whole_completion_is_a_status(served: Served, end: ModelStreamBroken, status: int) -> None:
    """Who does not stream gets no part of an answer, but the failure's status."""
    served.rig.agent.steps = (TextDelta(text="Hel"), end)
    async with served.client(max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="react", messages=ASK)
    assert caught.value.status_code == status


async def test_the_sdk_retries_what_can_be_cured_and_nothing_else(served: Served) -> None:
    """An overload is retried by the SDK's rules; a refusal, whatever its status, is asked once."""
    served.rig.agent.silent_start, served.rig.agent.steps = True, (Overloaded("Full.", retry_after_s=0.01),)
    async with served.client(max_retries=1) as client:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="react", messages=ASK)
        assert len(served.rig.all_runs) == 2
        with pytest.raises(openai.BadRequestError, match="forbidden"):
            await client.chat.completions.create(model="react", messages=[{"role": "user", "content": "forbidden"}])
        assert len(served.rig.all_runs) == 3


async def test_a_name_is_looked_at_as_what_is_said(served: Served) -> None:
    """It reaches the model too, so nothing gets past the guard in it."""
    async with served.client() as client:
        with pytest.raises(openai.BadRequestError, match="forbidden"):
            await client.chat.completions.create(
                model="react", messages=[{"role": "user", "name": "forbidden", "content": "hello"}]
            )


async def test_a_wrong_key_is_the_sdks_authentication_error(served: Served) -> None:
    """The SDK sees the 401 for what it is."""
    async with openai.AsyncOpenAI(api_key="wrong", base_url=served.url) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_a_thread_by_header(served: Served) -> None:
    """`new` begins a durable thread with all that was sent; its id continues it, with the newest user message only."""
    async with served.client() as client:
        first = await client.chat.completions.with_raw_response.create(
            model="react", messages=[BRIEF, *ASK], extra_headers={"X-Thread-Id": "new"}
        )
        thread_id = first.headers["x-thread-id"]
        history = [BRIEF, *ASK, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Again."}]
        await client.chat.completions.create(model="react", messages=history, extra_headers={"X-Thread-Id": thread_id})
        third = await client.chat.completions.with_raw_response.create(model="react", messages=history)
    began, continued, stateless = served.rig.all_runs
    assert (began.ephemeral, continued.ephemeral, stateless.ephemeral) == (False, False, True)
    assert began.thread_id == continued.thread_id == UUID(thread_id)
    assert [message.role for message in began.messages] == ["system", "user"]
    assert [message.content for message in continued.messages] == ["Again."]
    assert [message.role for message in stateless.messages] == ["system", "user", "assistant", "user"]
    assert "x-thread-id" not in third.headers


async def test_an_answer_can_be_sent_back_as_it_came(served: Served) -> None:
    """The SDK's dump of our own message, with its nulls, is accepted as history; so is a message of text parts."""
    async with served.client() as client:
        answer = (await client.chat.completions.create(model="react", messages=ASK)).choices[0].message
        parts = [{"type": "text", "text": "And"}, {"type": "text", "text": "again."}]
        history: list[Any] = [*ASK, answer.model_dump(), {"role": "user", "content": parts}]
        await client.chat.completions.create(model="react", messages=history)
    last = served.rig.all_runs[-1]
    assert [message.content for message in last.messages] == ["Say hello.", "Hello", "And\nagain."]


async def test_chat_openai(served: Served) -> None:
    """LangChain's client answers and streams, history, system message and usage included."""
    model = ChatOpenAI(model="react", api_key=KEY, base_url=served.url, stream_usage=True, temperature=0)
    history: list[Any] = [("system", "Be brief."), HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("Again")]
    answer = await model.ainvoke(history)
    chunks = [chunk async for chunk in model.astream(history)]
    assert answer.content == "Hello"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 10
    assert "".join(str(chunk.content) for chunk in chunks) == "Hello"
    assert sum(chunk.usage_metadata["total_tokens"] for chunk in chunks if chunk.usage_metadata) == 10
