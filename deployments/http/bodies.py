"""Reading a request's body: never more of it in memory than the limit, and nothing in it that could hurt further in.

orjson refuses NaN, Infinity, numbers beyond a double, lone surrogates, invalid UTF-8, UTF-16, a byte order mark and
nesting beyond 1024. What it lets pass and we do not: nesting beyond `MAX_DEPTH`, more than `MAX_VALUES` values, NUL
(which Postgres cannot store) and a key twice in one object (of which readers disagree about the one that counts).
"""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive

from services.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType
from services.types import JsonObject

MAX_DEPTH = 64
MAX_VALUES = 20_000
READ_TIMEOUT_S = 30.0
MAX_DISCARDED_BYTES = 64 * 1_048_576
DISCARD_TIMEOUT_S = 5.0

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b"[]{}:,")
_ALL_SQUARE = bytes.maketrans(b"{}", b"[]")


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


async def read_object(headers: Headers, receive: Receive, *, max_bytes: int) -> JsonObject:
    """Return the JSON object that is the body.

    Raises UnsupportedMediaType, RequestTooLarge, InvalidRequest, and ClientLeft when there is nobody left to answer.
    """
    check_media_type(headers)
    return parse_object(await read_bytes(headers, receive, max_bytes=max_bytes))


def check_media_type(headers: Headers) -> None:
    """Raise UnsupportedMediaType unless the body is declared as plain JSON in UTF-8."""
    media_type, _, parameters = headers.get("content-type", "").lower().partition(";")
    if media_type.strip() != "application/json":
        raise UnsupportedMediaType(
            "The body must be JSON. Send the header Content-Type: application/json.", param="content-type"
        )
    charset = parameters.partition("charset=")[2].strip(' "')
    if charset not in ("", "utf-8", "utf8"):
        raise UnsupportedMediaType("JSON is sent in UTF-8. Leave the charset out.", param="content-type")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Compressed bodies are not supported. Send it as it is.", param="content-encoding")


async def read_bytes(headers: Headers, receive: Receive, *, max_bytes: int) -> bytes:
    """Return the whole body, at most `max_bytes` long and at most READ_TIMEOUT_S in coming."""
    too_large = RequestTooLarge(f"The body is larger than {max_bytes} bytes. Send less.")
    declared = headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > max_bytes):
        if "expect" not in headers:  # a client that asks first has not sent anything yet
            await _discard(receive)
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > max_bytes:
                    break
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise InvalidRequest(f"The body did not arrive within {READ_TIMEOUT_S:.0f} s. Send it again.") from None
    chunks.clear()
    await _discard(receive)
    raise too_large


async def _discard(receive: Receive) -> None:
    """Read on for a while without keeping anything: many clients look for the answer only once they have sent all."""
    size = 0
    try:
        async with asyncio.timeout(DISCARD_TIMEOUT_S):
            while size < MAX_DISCARDED_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def parse_object(body: bytes) -> JsonObject:
    """Return the JSON object in `body`. Raises InvalidRequest, with the position where that is known."""
    if not body.strip():
        raise InvalidRequest("The body is empty. Send a JSON object.")
    structure = _STRING.sub(b"", body).translate(None, _NOT_STRUCTURE)
    _check_size(structure)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON in UTF-8: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"The body must be a JSON object, and is of the type {type(value).__name__}.")
    if structure.count(b":") != sum(len(node) for _, node in _containers(value) if isinstance(node, dict)):
        name = _duplicate_key(body)
        raise InvalidRequest(f"An object has the field {name!r} twice. Remove one of them.", param=name)
    if b"\\u0000" in body:
        _check_nul(value)
    return value


def _check_size(structure: bytes) -> None:
    """Count values and levels on the body's punctuation alone, before an object is made of each of them.

    A megabyte of `[],[],` would otherwise hold up every other request of the replica for a second.
    """
    opened = structure.count(b"[") + structure.count(b"{")
    if opened + structure.count(b",") > MAX_VALUES:
        raise InvalidRequest(f"The body has more than {MAX_VALUES} values. Send fewer.")
    if opened > MAX_DEPTH:
        nested = structure.translate(_ALL_SQUARE, b":,")
        for _ in range(MAX_DEPTH):
            nested = nested.replace(b"[]", b"")
        if b"[" in nested:
            raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH} levels. Send it flatter.")


def _containers(value: JsonObject) -> Iterator[tuple[str, JsonObject | list[Any]]]:
    """Yield every object and array with its path, without recursion."""
    pending: list[tuple[str, JsonObject | list[Any]]] = [("", value)]
    while pending:
        path, node = pending.pop()
        yield path, node
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(child, dict | list):
                pending.append((f"{path}{key}.", child))


def _duplicate_key(body: bytes) -> str:
    """Return the first key that an object has twice. Slow: only for the error's text."""
    found: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        found.extend(name for position, name in enumerate(names) if name in names[:position])

    json.loads(body, object_pairs_hook=note, parse_int=float)
    return found[0][:128]


def _check_nul(value: JsonObject) -> None:
    for path, node in _containers(value):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            if "\0" in str(key) or (isinstance(child, str) and "\0" in child):
                name = f"{path}{key}".replace("\0", "\\u0000")
                raise InvalidRequest(f"The field {name!r} holds the character NUL. Remove it.", param=name[:128])
