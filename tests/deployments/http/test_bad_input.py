"""Whatever a client may send that cannot be acted upon: a 4xx with our envelope that names the field, on both run routes."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx
import openai
import orjson
import pytest
from openai.types.chat import completion_create_params

from configs.settings import HttpSettings
from deployments.http.access import OPEN_PATHS
from deployments.http.bodies import MAX_DEPTH
from deployments.protocols.chat_completions import CompletionBody
from deployments.protocols.unsupported import IGNORED, NEUTRAL
from tests.deployments.http.fakes import AUTH, KEY, Rig, serving

CHAT, COMPLETIONS = "/chat/stream", "/v1/chat/completions"
BOTH = pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
USER = {"role": "user", "content": "Say hello."}
GOOD: dict[str, Any] = {"model": "react", "messages": [USER]}
JSON = {"content-type": "application/json"}


LIMIT = 65_536


@pytest.fixture(scope="module")
def refusing() -> Rig:
    """One application for all of what is refused: building one takes longer than asking it."""
    return Rig(settings=HttpSettings(max_messages=4, max_message_chars=50, max_body_bytes=LIMIT))


@pytest.fixture
def rig(refusing: Rig) -> Iterator[Rig]:
    rig = refusing
    yield rig
    assert rig.store.runs == {}, "bad input must not become a run"


def check(response: httpx.Response, status: int, param: str | None, code: str) -> None:
    """Assert the envelope: the status, the field and the code that it names, a sentence, and the request's id."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-should-retry"] == "false"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "retryable", "request_id"}
    assert (error["param"], error["code"]) == (param, code)
    assert error["message"].endswith(".")
    assert error["request_id"] == response.headers["x-request-id"]


async def post(rig: Rig, path: str, content: bytes, headers: Mapping[str, str] = JSON) -> httpx.Response:
    async with rig.client() as client:
        return await client.post(path, content=content, headers=headers)


def with_value(value: bytes) -> bytes:
    return b'{"model":"react","messages":[{"role":"user","content":"Hi"}],"temperature":' + value + b"}"


def with_text(value: bytes) -> bytes:
    return b'{"model":"react","messages":[{"role":"user","content":"' + value + b'"}]}'


NOT_READABLE = {
    "empty": (b"", None),
    "blank": (b" \n ", None),
    "not JSON": (b"messages=hello", None),
    "cut off": (b'{"model":"react","messages":[{"role":"us', None),
    "trailing": (orjson.dumps(GOOD) + b"{}", None),
    "an array": (b"[1,2]", None),
    "a string": (b'"hello"', None),
    "null": (b"null", None),
    "NaN": (with_value(b"NaN"), None),
    "Infinity": (with_value(b"-Infinity"), None),
    "1e999": (with_value(b"1e999"), None),
    "an int of 5,000 digits": (with_value(b"9" * 5_000), None),
    "an int of 30 digits": (with_value(b"9" * 30), "temperature"),
    "a lone high surrogate": (with_text(rb"\ud800"), None),
    "a lone low surrogate": (with_text(rb"a\udc00b"), None),
    "an encoded surrogate": (with_text(b"\xed\xa0\x80"), None),
    "invalid UTF-8": (with_text(b"\xff\xfe"), None),
    "overlong UTF-8": (with_text(b"\xc0\xaf"), None),
    "a raw NUL": (with_text(b"a\0b"), None),
    "an escaped NUL": (with_text(rb"a\u0000b"), "messages.0.content"),
    "NUL in a key": (rb'{"a\u0000b":1}', "a\\u0000b"),
    "UTF-16": (orjson.dumps(GOOD).decode().encode("utf-16"), None),
    "UTF-32": (orjson.dumps(GOOD).decode().encode("utf-32-be"), None),
    "a byte order mark": (b"\xef\xbb\xbf" + orjson.dumps(GOOD), None),
    "a key twice": (b'{"model":"react","messages":[],"model":"planner"}', "model"),
    "a key twice, within": (b'{"messages":[{"role":"user","role":"system","content":"a:b"}]}', "role"),
    "nested too deep": (with_value(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH), None),
    "nested far too deep": (b"[" * 4_000 + b"]" * 4_000, None),
    "too many arrays": (b'{"messages":[' + b"[]," * 20_000 + b"[]]}", None),
    "too many numbers": (b'{"messages":[' + b"1," * 20_000 + b"1]}", None),
    "objects nested too deep": (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), None),
}


@BOTH
@pytest.mark.parametrize(("content", "param"), NOT_READABLE.values(), ids=NOT_READABLE)
async def test_a_body_that_is_not_sound_json(rig: Rig, path: str, content: bytes, param: str | None) -> None:
    """Whatever is not one sound JSON object in UTF-8 is a 400, never a 500 and never an empty 200."""
    check(await post(rig, path, content), 400, param, "invalid_request")


@BOTH
async def test_depth_is_counted_outside_of_strings(path: str) -> None:
    """Brackets within a text, and escaped quotes before them, are text; and so are the six characters \\u0000 escaped."""
    rig = Rig()
    content = "[{" * 200 + '"]}\\' + "[" * 200 + "\\u0000"
    async with rig.client() as client:
        response = await client.post(path, json={"model": "react", "messages": [{"role": "user", "content": content}]})
    assert response.status_code == 200
    assert next(iter(rig.store.runs.values())).messages[0].content == content


@BOTH
@pytest.mark.parametrize(
    ("headers", "param"),
    [
        ({"content-type": "text/plain"}, "content-type"),
        ({"content-type": "application/x-www-form-urlencoded"}, "content-type"),
        ({"content-type": "multipart/form-data; boundary=x"}, "content-type"),
        ({"content-type": ""}, "content-type"),
        ({"content-type": "application/json; charset=utf-16"}, "content-type"),
        (JSON | {"content-encoding": "gzip"}, "content-encoding"),
    ],
)
async def test_another_media_type_is_a_415(rig: Rig, path: str, headers: dict[str, str], param: str) -> None:
    """Only plain JSON in UTF-8 is read."""
    check(await post(rig, path, orjson.dumps(GOOD), headers), 415, param, "unsupported_media_type")


@BOTH
async def test_a_charset_of_utf_8_is_welcome(path: str) -> None:
    """The parameter that many clients add changes nothing."""
    response = await post(Rig(), path, orjson.dumps(GOOD), {"content-type": "Application/JSON; charset=UTF-8"})
    assert response.status_code == 200


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
async def test_a_field_that_cannot_be_used(
    rig: Rig, path: str, change: dict[str, Any], param: str | None, code: str
) -> None:
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


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"thread_id": "first"}, "thread_id"),
        ({"thread_id": 5}, "thread_id"),
        ({"thread_id": str(uuid4()) + "0"}, "thread_id"),
        ({"on_disconnect": "explode"}, "on_disconnect"),
        ({"stream": True}, "stream"),
        ({"messages": [USER, {"role": "assistant", "content": "Hello"}]}, "messages.1.role"),
    ],
)
async def test_fields_of_chat_stream(rig: Rig, change: dict[str, Any], param: str) -> None:
    """What only `/chat/stream` has is checked like the rest."""
    check(await post(rig, CHAT, orjson.dumps(GOOD | change)), 400, param, "invalid_request")


async def test_an_unknown_thread_is_a_404(rig: Rig) -> None:
    """A well-formed id of no thread of ours is absent, not invalid."""
    response = await post(rig, CHAT, orjson.dumps(GOOD | {"thread_id": str(uuid4())}))
    check(response, 404, "thread_id", "not_found")


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


# --- size -------------------------------------------------------------------------------------------------------------


@BOTH
async def test_a_declared_size_beyond_the_limit_is_a_413(rig: Rig, path: str) -> None:
    """A body that says that it is too large is not parsed."""
    check(await post(rig, path, b" " * (LIMIT + 1)), 413, None, "request_too_large")


@BOTH
async def test_a_body_of_the_allowed_size_is_read(path: str) -> None:
    """The limit itself is still allowed."""
    rig = Rig(settings=HttpSettings(max_body_bytes=8_192))
    assert (await post(rig, path, orjson.dumps(GOOD).ljust(8_192))).status_code == 200


@BOTH
@pytest.mark.parametrize("declared", [True, False])
async def test_fifty_megabytes_over_a_socket_are_a_413(rig: Rig, path: str, declared: bool) -> None:
    """A huge upload gets its answer, whether its size is declared or it comes in chunks."""
    chunk = b"x" * 1_000_000

    async def body() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield chunk

    headers = AUTH | JSON | ({"content-length": "50000000"} if declared else {})
    async with serving(rig.app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        check(await client.post(path, content=body(), headers=headers), 413, None, "request_too_large")


@BOTH
async def test_no_more_than_the_limit_is_held(rig: Rig, path: str) -> None:
    """While a body that is too large is coming in, what came before is let go."""
    alive: list[int] = []

    class Chunk(bytes):
        def __del__(self) -> None:
            alive.remove(len(self))

    messages = 0

    async def receive() -> dict[str, Any]:
        nonlocal messages
        messages += 1
        assert sum(alive) <= LIMIT + 2 * 4_096
        alive.append(4_096)
        return {"type": "http.request", "body": Chunk(4_096), "more_body": messages < 1_000}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in (AUTH | JSON).items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    await rig.app(scope, receive, send)
    assert (messages, sent[0]["status"]) == (1_000, 413)


# --- keys, routes and methods -----------------------------------------------------------------------------------------

EVERYWHERE = [
    ("POST", CHAT),
    ("POST", COMPLETIONS),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/react"),
    ("GET", "/threads"),
    ("GET", f"/threads/{uuid4()}"),
    ("GET", f"/threads/{uuid4()}/messages"),
    ("DELETE", f"/threads/{uuid4()}"),
    ("GET", f"/runs/{uuid4()}"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/"),
    ("GET", "/nowhere"),
    ("GET", "/healthz/"),
    ("GET", "/healthz/../threads"),
    ("OPTIONS", "/threads"),
]


@pytest.mark.parametrize(("method", "path"), EVERYWHERE)
async def test_nothing_is_shown_without_a_key(rig: Rig, method: str, path: str) -> None:
    """Every path but the probes asks for a key, also those that do not exist."""
    async with rig.client(headers={}) as client:
        response = await client.request(method, path)
    check(response, 401, "authorization", "invalid_api_key")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_every_route_of_the_application_is_closed_by_default(rig: Rig) -> None:
    """The list above, and this walk over what is really routed, both find only the probes open."""
    document = rig.app.openapi()["paths"]
    assert {CHAT, COMPLETIONS, "/threads/{thread_id}/messages", "/runs/{run_id}"} <= set(document)
    assert {"/healthz", "/readyz"} == OPEN_PATHS
    async with rig.client(headers={}) as client:
        for path, methods in document.items():
            for method in methods:
                assert (await client.request(method, path)).status_code == 401


WRONG_KEYS = {
    "unknown": ({"authorization": "Bearer wrong"}, ""),
    "empty": ({"authorization": "Bearer "}, ""),
    "no scheme": ({"authorization": KEY}, ""),
    "another scheme": ({"authorization": f"Basic {KEY}"}, ""),
    "endless": ({"authorization": "Bearer " + "x" * 600}, ""),
    "in the query": ({}, f"?api_key={KEY}&key={KEY}"),
    "in a cookie": ({"cookie": f"api_key={KEY}"}, ""),
    "in another header": ({"api-key": KEY}, ""),
    "two of them": ({"authorization": f"Bearer {KEY}", "x-api-key": "another"}, ""),
    "padded": ({"x-api-key": f"{KEY} x"}, ""),
    "not ASCII": ({"x-api-key": "schlüssel"}, ""),
}


@BOTH
@pytest.mark.parametrize(("headers", "query"), WRONG_KEYS.values(), ids=WRONG_KEYS)
async def test_a_key_that_is_wrong_or_in_the_wrong_place(
    rig: Rig, path: str, headers: dict[str, str], query: str
) -> None:
    """A key counts in two headers only, and two different keys are none."""
    raw = {name: value.encode() for name, value in headers.items()}
    async with rig.client(headers={}) as client:
        response = await client.post(path + query, json=GOOD, headers=raw)
    check(response, 401, "authorization", "invalid_api_key")


@pytest.mark.parametrize("headers", [{"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}, AUTH | {"x-api-key": KEY}])
async def test_a_key_in_either_header_is_taken(rig: Rig, headers: dict[str, str]) -> None:
    """Bearer in any case, x-api-key, or the same key in both."""
    async with rig.client(headers=headers) as client:
        assert (await client.get("/v1/models")).status_code == 200


@pytest.mark.parametrize("path", ["/nowhere", "/chat/stream/", "/v1/chat/completions/x", "/docs", "/redoc", "/"])
async def test_an_unknown_route_is_a_404_in_our_envelope(rig: Rig, path: str) -> None:
    """With a key, what does not exist says so in the same form as everything else."""
    async with rig.client() as client:
        check(await client.get(path), 404, None, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", CHAT, "POST"), ("PUT", COMPLETIONS, "POST"), ("POST", "/v1/models", "GET"), ("PATCH", "/threads", "GET")],
)
async def test_another_method_is_a_405_that_lists_what_is_allowed(
    rig: Rig, method: str, path: str, allowed: str
) -> None:
    """The header Allow comes with it."""
    async with rig.client() as client:
        response = await client.request(method, path)
    check(response, 405, None, "method_not_allowed")
    assert allowed in response.headers["allow"]


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/threads/first", "thread_id"),
        ("/threads/first/messages", "thread_id"),
        ("/runs/first", "run_id"),
        ("/threads?limit=0", "limit"),
        ("/threads?limit=many", "limit"),
        ("/threads?before=first", "before"),
        (f"/threads/{uuid4()}/messages?limit=1001", "limit"),
    ],
)
async def test_a_parameter_of_the_url_that_cannot_be_used(rig: Rig, path: str, param: str) -> None:
    """Path and query parameters get the same 400 as fields."""
    async with rig.client() as client:
        check(await client.get(path), 400, param, "invalid_request")


async def test_the_sdk_shows_the_field(rig: Rig) -> None:
    """The openai SDK reads our envelope: `param`, `code` and `type` are attributes of its error."""
    async with (
        serving(rig.app) as port,
        openai.AsyncOpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1") as client,
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="react", messages=[USER], n=2)
    assert (caught.value.param, caught.value.code) == ("n", "unsupported_parameter")
    assert caught.value.type == "invalid_request_error"
