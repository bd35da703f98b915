"""Fields that cannot be used: a 4xx in our envelope that names the field, on both run routes."""

from typing import Any, cast
from uuid import uuid4

import openai
import orjson
import pytest
from openai.types.chat import completion_create_params

from deployments.protocols.chat_completions import CompletionBody
from deployments.protocols.unsupported import IGNORED, NEUTRAL
from tests.deployments.http.fakes import KEY, Rig, serving
from tests.deployments.http.refusals import BOTH, CHAT, COMPLETIONS, GOOD, JSON, OWN, QUEUED, USER, WAITED, check, post

BAD_FIELDS = {
    "no messages": ({"messages": None}, "messages", "invalid_request"),
    "empty messages": ({"messages": []}, "messages", "invalid_request"),
    "messages of another type": ({"messages": "Hi"}, "messages", "invalid_request"),
    "a message of another type": ({"messages": ["Hi"]}, "messages.0", "invalid_request"),
    "a message without content": ({"messages": [{"role": "user"}]}, "messages.0.content", "invalid_request"),
    "a message without a role": ({"messages": [{"content": "Hi"}]}, "messages.0.role", "invalid_request"),
    "an unknown role": ({"messages": [{"role": "root", "content": "Hi"}]}, "messages.0.role", "invalid_request"),
    "content of another type": (
        {"messages": [{"role": "user", "content": 5}]},
        "messages.0.content",
        "invalid_request",
    ),
    "empty content": ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content", "invalid_request"),
    "blank content": ({"messages": [{"role": "user", "content": " \n"}]}, "messages.0.content", "invalid_request"),
    "too long": ({"messages": [{"role": "user", "content": "x" * 51}]}, "messages.0.content", "invalid_request"),
    "too many": ({"messages": [USER] * 5}, "messages", "invalid_request"),
    "only a system message": ({"messages": [{"role": "system", "content": "Hi"}]}, ..., "invalid_request"),
    "an unknown field": ({"temprature": 1}, "temprature", "invalid_request"),
    "an unknown field of a message": ({"messages": [USER | {"id": 1}]}, "messages.0.id", "invalid_request"),
    "model of another type": ({"model": 5}, "model", "invalid_request"),
    "a text for a number": ({"temperature": "1"}, "temperature", "invalid_request"),
    "a bool for a number": ({"max_tokens": True}, "max_tokens", "invalid_request"),
    "a float for an int": ({"max_tokens": 1.5}, "max_tokens", "invalid_request"),
    "too hot": ({"temperature": 2.1}, "temperature", "invalid_request"),
    "top_p of nothing": ({"top_p": 0}, "top_p", "invalid_request"),
    "no tokens": ({"max_tokens": 0}, "max_tokens", "invalid_request"),
    "a seed beyond 64 bits": ({"seed": 2**63}, "seed", "invalid_request"),
    "five stops": ({"stop": list("abcde")}, "stop", "invalid_request"),
    "an empty stop": ({"stop": ["a", ""]}, "stop.1", "invalid_request"),
    "metadata of another type": ({"metadata": {"a": 1}}, "metadata.a", "invalid_request"),
    "too much metadata": ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "invalid_request"),
}


@BOTH
@pytest.mark.parametrize(("change", "param", "code"), BAD_FIELDS.values(), ids=BAD_FIELDS)
async def test_a_field_that_cannot_be_used(rig: Rig, path: str, change: dict[str, Any], param: Any, code: str) -> None:
    """Each wrong field is a 400 that names it by its path in the body."""
    response = await post(rig, path, orjson.dumps(GOOD | change))
    if param is ...:
        param = response.json()["error"]["param"]
        assert param.startswith("messages")
    check(response, 400, param, code)


@BOTH
async def test_an_unknown_model_is_a_404(rig: Rig, path: str) -> None:
    """The answer names the models that there are."""
    response = await post(rig, path, orjson.dumps(GOOD | {"model": "gpt-4o"}))
    check(response, 404, "model", "model_not_found")
    assert "planner, react" in response.json()["error"]["message"]


THREAD = {"thread_id": str(uuid4())}
APPROVED = {"decisions": [{"type": "approve"}]}


def decided(**changes: Any) -> dict[str, Any]:
    """A body that brings a decision instead of messages."""
    return {"messages": None, **THREAD, "decisions": [{"type": "approve", **changes}]}


@OWN
@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"thread_id": "first"}, "thread_id"),
        ({"thread_id": 5}, "thread_id"),
        ({"thread_id": str(uuid4()) + "0"}, "thread_id"),
        ({"stream": True}, "stream"),
        ({"messages": [USER, {"role": "assistant", "content": "Hello"}]}, "messages.1.role"),
        ({"multitask_strategy": "queue"}, "multitask_strategy"),
        ({"multitask_strategy": None}, "multitask_strategy"),
        ({"webhook_url": "http://plain.example"}, "webhook_url"),
        ({"webhook_url": 5}, "webhook_url"),
        (THREAD | APPROVED, "decisions"),
        ({"messages": None, **APPROVED}, "thread_id"),
        ({"messages": None, **THREAD, "decisions": []}, "decisions"),
        ({"messages": None, **THREAD, "decisions": [{"type": "approve"}] * 65}, "decisions"),
        ({"messages": None, **THREAD}, "messages"),
        (decided(type="maybe"), "decisions.0.type"),
        (decided(reason="because"), "decisions.0.reason"),
        (decided(edited_action={"name": "f"}), "decisions.0.edited_action.args"),
        (decided(message=5), "decisions.0.message"),
    ],
)
async def test_fields_of_our_own_routes(rig: Rig, path: str, change: dict[str, Any], param: str) -> None:
    """What only Mainstay's own routes have is checked like the rest, on each of them."""
    check(await post(rig, path, orjson.dumps(GOOD | change)), 400, param, "invalid_request")


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        (CHAT, {"on_disconnect": "explode"}, "on_disconnect"),
        (WAITED, {"on_disconnect": "explode"}, "on_disconnect"),
        (QUEUED, {"on_disconnect": "cancel"}, "on_disconnect"),
        (CHAT, {"priority": 1}, "priority"),
        (QUEUED, {"priority": -1}, "priority"),
        (QUEUED, {"priority": 10}, "priority"),
        (QUEUED, {"priority": "1"}, "priority"),
        (COMPLETIONS, APPROVED, "decisions"),
        (COMPLETIONS, {"multitask_strategy": "enqueue"}, "multitask_strategy"),
    ],
)
async def test_fields_of_one_route(rig: Rig, path: str, change: dict[str, Any], param: str) -> None:
    """Who runs in the background cannot hang up, and nobody but those has a priority; OpenAI's protocol has neither."""
    check(await post(rig, path, orjson.dumps(GOOD | change)), 400, param, "invalid_request")


async def test_an_unknown_thread_is_a_404(rig: Rig) -> None:
    """A well-formed id of no thread of ours is absent, not invalid."""
    response = await post(rig, CHAT, orjson.dumps(GOOD | {"thread_id": str(uuid4())}))
    check(response, 404, None, "not_found")


async def test_a_thread_header_that_is_no_id(rig: Rig) -> None:
    """Chat Completions takes a thread by header, and refuses what is neither a UUID nor `new`."""
    response = await post(rig, COMPLETIONS, orjson.dumps(GOOD), JSON | {"x-thread-id": "first"})
    check(response, 400, "x-thread-id", "invalid_request")


TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
UNSUPPORTED = {
    "client tools": ({"tools": [TOOL]}, "tools"),
    "functions": ({"functions": [{"name": "f"}]}, "functions"),
    "a forced tool": ({"tool_choice": "required"}, "tool_choice"),
    "a named tool": ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
    "two answers": ({"n": 2}, "n"),
    "true answers": ({"n": True}, "n"),
    "JSON mode": ({"response_format": {"type": "json_object"}}, "response_format"),
    "logprobs": ({"logprobs": True}, "logprobs"),
    "audio out": ({"modalities": ["text", "audio"], "audio": {"voice": "alloy"}}, "audio"),
    "a penalty": ({"presence_penalty": 0.5}, "presence_penalty"),
    "a bias": ({"logit_bias": {"50256": -100}}, "logit_bias"),
    "a prediction": ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
    "web search": ({"web_search_options": {}}, "web_search_options"),
    "a tool's result": ({"messages": [{"role": "tool", "content": "4", "tool_call_id": "c"}, USER]}, "messages.0.role"),
    "a tool call": (
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}, USER]},
        "messages.1.tool_calls",
    ),
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        "messages.0.content.0.type",
    ),
    "audio in": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "input_audio"}]}]},
        "messages.0.content.1.type",
    ),
}


@pytest.mark.parametrize(("change", "param"), UNSUPPORTED.values(), ids=UNSUPPORTED)
async def test_what_openai_offers_and_we_do_not(rig: Rig, change: dict[str, Any], param: str) -> None:
    """What would change the answer is refused by name, not dropped."""
    check(await post(rig, COMPLETIONS, orjson.dumps(GOOD | change)), 400, param, "unsupported_parameter")


@pytest.mark.parametrize(
    ("content", "param"),
    [
        ([], "messages.0.content"),
        ([{"type": "text", "text": ""}], "messages.0.content"),
        ([{"type": "text"}], "messages.0.content.0.text"),
        ([{"type": "hologram", "text": "Hi"}], "messages.0.content.0.type"),
        ([{"type": "text", "text": "Hi", "size": 1}], "messages.0.content.0.size"),
        (["Hi"], "messages.0.content.0"),
    ],
)
async def test_content_parts_that_cannot_be_used(rig: Rig, content: list[Any], param: str) -> None:
    """Text parts are checked part by part."""
    body = GOOD | {"messages": [{"role": "user", "content": content}]}
    check(await post(rig, COMPLETIONS, orjson.dumps(body)), 400, param, "invalid_request")


async def test_every_parameter_of_openai_is_decided() -> None:
    """Each parameter that the SDK can send is used, ignored or refused on purpose; a new one must be looked at."""
    known = set(completion_create_params.CompletionCreateParamsStreaming.__annotations__)
    known |= set(completion_create_params.CompletionCreateParamsBase.__annotations__)
    assert len(known) > 30
    assert known == known & (set(CompletionBody.model_fields) | IGNORED | set(NEUTRAL))


async def test_harmless_parameters_are_accepted() -> None:
    """What clients send by habit, with values that change nothing, is no error."""
    body = GOOD | dict.fromkeys(IGNORED, "x") | {name: (values or (None,))[0] for name, (values, _) in NEUTRAL.items()}
    response = await post(Rig(), COMPLETIONS, orjson.dumps(body | {"stream_options": None, "seed": None, "stop": None}))
    assert response.status_code == 200


async def test_the_sdk_shows_the_field(rig: Rig) -> None:
    """The openai SDK reads our envelope: `param`, `code` and `type` are attributes of its error."""
    async with (
        serving(rig.app) as port,
        openai.AsyncOpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1") as client,
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="react", messages=cast(Any, [USER]), n=2)
    assert (caught.value.param, caught.value.code) == ("n", "unsupported_parameter")
    assert caught.value.type == "invalid_request_error"
