"""Bodies that are not one sound JSON object of a sensible size: a 4xx in our envelope, on both run routes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from starlette.datastructures import Headers

from configs.http import HttpSettings
from deployments.http import bodies
from deployments.http.bodies import MAX_DEPTH, read_bytes
from services.errors import InvalidRequest, RequestTooLarge
from tests.deployments.http.fakes import AUTH, Rig, serving
from tests.deployments.http.refusals import BOTH, GOOD, JSON, LIMIT, check, post


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
    assert rig.all_runs[0].messages[0].content == content


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


@pytest.mark.parametrize(("expects", "read"), [(False, 3), (True, 0)])
async def test_a_client_that_asks_first_is_told_before_it_sends(expects: bool, read: int) -> None:
    """With `Expect: 100-continue` nothing is read, so nothing is sent; else all is, so that the answer is looked for."""
    messages = 0

    async def receive() -> dict[str, Any]:
        nonlocal messages
        messages += 1
        return {"type": "http.request", "body": b"x", "more_body": messages < 3}

    headers = Headers({"content-length": "3"} | ({"expect": "100-continue"} if expects else {}))
    with pytest.raises(RequestTooLarge):
        await read_bytes(headers, receive, max_bytes=2)
    assert messages == read


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that announces a body and sends no more of it holds nothing for longer than the limit."""
    monkeypatch.setattr(bodies, "READ_TIMEOUT_S", 0.01)

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    with pytest.raises(InvalidRequest, match="did not arrive"):
        await read_bytes(Headers({"content-length": "3"}), receive, max_bytes=2_000)


async def test_a_body_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is dropped is limited in bytes, and in time for a client that trickles."""
    monkeypatch.setattr(bodies, "MAX_DISCARDED_BYTES", 10)
    monkeypatch.setattr(bodies, "DISCARD_TIMEOUT_S", 0.01)
    messages = 0

    async def endless() -> dict[str, Any]:
        nonlocal messages
        messages += 1
        return {"type": "http.request", "body": b"xxxx", "more_body": True}

    async def stalling() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    for receive in (endless, stalling):
        with pytest.raises(RequestTooLarge):
            await read_bytes(Headers({"content-length": "3"}), receive, max_bytes=2)
    assert messages == 3
