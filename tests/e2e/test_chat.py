"""What a user does: ask, see the tool at work, come back to the thread, use the clients they already have."""

import asyncio

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI

from benchmarks.upstream import Directive, Upstream
from tests.e2e.launching import Served
from tests.e2e.streams import ask, text_of

QUESTION = "what is 1234 * 5678?"


async def test_a_tool_using_answer_streams(client: httpx.AsyncClient) -> None:
    """The line that `make serve` prints: run_started first, the tool call as events, the answer, one end."""
    received = await ask(client, QUESTION)
    names = [event.name for event in received]
    assert names[0] == "run_started"
    assert names[-1] == "run_completed"
    assert names.index("tool_started") < names.index("tool_finished") < names.index("text_delta")
    assert "7006652" in text_of(received)
    assert [event.id for event in received] == [f"1-{number}" for number in range(len(received))]


@pytest.mark.parametrize("graph", ["react", "plan_execute", "supervisor"])
async def test_every_graph_answers(client: httpx.AsyncClient, graph: str) -> None:
    """Each served graph completes a plain question."""
    received = await ask(client, "hello", model=graph)
    assert received[-1].name == "run_completed", received[-1]
    assert text_of(received)


async def test_a_thread_remembers(client: httpx.AsyncClient, upstream: Upstream) -> None:
    """The second turn of a thread sends the first one's messages to the model, and the history shows both turns."""
    first = await ask(client, "first question")
    thread_id = first[0].data["thread_id"]
    await ask(client, "second question", thread_id=thread_id)
    said = [message["content"] for message in upstream.seen.last.body["messages"]]
    assert "first question" in said
    assert said[-1] == "second question"
    history = (await client.get(f"/threads/{thread_id}/messages")).json()["messages"]
    assert [message["role"] for message in history] == ["user", "assistant", "user", "assistant"]


async def test_a_run_is_on_record(client: httpx.AsyncClient) -> None:
    """Its status and its usage can be asked for afterwards."""
    received = await ask(client, "hello")
    run = (await client.get(f"/runs/{received[0].data['run_id']}")).json()
    assert run["status"] == "completed"
    assert run["usage"] == received[-1].data["usage"]


async def test_a_provider_that_breaks_off_is_an_error_event(client: httpx.AsyncClient) -> None:
    """A truncated answer never looks like an answer: the run fails, marked partial, with a code."""
    received = await ask(client, Directive(fault="cut", after=3, tokens=20).in_message())
    assert received[-1].name == "run_failed"
    assert received[-1].data["error"]["code"] == "model_stream_broken"
    assert received[-1].data["partial"] is True


@pytest.mark.parametrize(
    ("headers", "status"), [({"authorization": "Bearer ms_wrong"}, 401), ({"authorization": ""}, 401)]
)
async def test_nothing_is_served_without_a_key(client: httpx.AsyncClient, headers: dict[str, str], status: int) -> None:
    """Every route but health wants a key, unknown ones included."""
    for path in ("/v1/models", "/threads", "/nowhere", "/openapi.json"):
        assert (await client.get(path, headers=headers)).status_code == status
    assert (await client.get("/healthz", headers=headers)).status_code == 200
    assert (await client.get("/readyz", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b'{"messages": []}', "messages"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', None),
        (b'{"messages": [{"role": "user", "content": "hi"}], "model": "nobody"}', "model"),
    ],
)
async def test_bad_input_is_refused_through_the_real_proxy(
    client: httpx.AsyncClient, body: bytes, param: str | None
) -> None:
    """What the unit tests prove in one process holds behind Serve's proxies: a status, a code, the field."""
    response = await client.post("/chat/stream", content=body, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500
    error = response.json()["error"]
    assert error["code"]
    assert param is None or error["param"].startswith(param)


async def test_the_openai_sdk_sync(served: Served) -> None:
    """The unmodified synchronous client, streamed and not, in a thread: the upstream lives on this loop."""
    await asyncio.to_thread(use_the_sync_sdk, served)


def use_the_sync_sdk(served: Served) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.api_key)
    with client:
        whole = client.chat.completions.create(model="react", messages=[{"role": "user", "content": QUESTION}])
        assert "7006652" in (whole.choices[0].message.content or "")
        stream = client.chat.completions.create(
            model="react",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    assert "7006652" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0


async def test_the_openai_sdk_async(served: Served) -> None:
    """The unmodified asynchronous client, streamed and not, and its errors."""
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=served.api_key, max_retries=0) as client:
        whole = await client.chat.completions.create(model="react", messages=[{"role": "user", "content": QUESTION}])
        assert "7006652" in (whole.choices[0].message.content or "")
        stream = await client.chat.completions.create(
            model="react", messages=[{"role": "user", "content": QUESTION}], stream=True
        )
        said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
        assert "7006652" in said
        assert "react" in [model.id async for model in client.models.list()]
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "x"}])


async def test_chat_openai(served: Served) -> None:
    """LangChain's own client, unmodified, streamed and not."""
    chat = ChatOpenAI(model="react", base_url=f"{served.url}/v1", api_key=lambda: served.api_key)
    assert "7006652" in (await chat.ainvoke(QUESTION)).text
    assert "7006652" in "".join([chunk.text async for chunk in chat.astream(QUESTION)])
