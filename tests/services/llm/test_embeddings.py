"""Vectors from an OpenAI-compatible endpoint, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from services.errors import (
    ModelAuthRejected,
    ModelError,
    ModelMissing,
    ModelOutputTooLarge,
    ModelServerError,
    ModelStreamBroken,
    ModelTimeout,
    ModelUnreachable,
)
from services.llm import embeddings
from services.llm.embeddings import MAX_TEXTS, EmbeddingSpec, OpenAIEmbeddings

SILENT = 0
Answer = Callable[[dict[str, Any]], Awaitable[tuple[int, bytes]]]
Served = tuple[OpenAIEmbeddings, list[tuple[str, dict[str, Any]]]]


@asynccontextmanager
async def serving(answer: Answer, **options: Any) -> AsyncIterator[Served]:
    """A server that answers so, an embedding model that asks it, and the heads and bodies it was asked with."""
    asked: list[tuple[str, dict[str, Any]]] = []

    connections: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:"))
        body = orjson.loads(await reader.readexactly(length))
        asked.append((head, body))
        status, content = await answer(body)
        if status == SILENT:
            await reader.read()  # until the client hangs up
        else:
            answered = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            writer.write(answered % (status, len(content)) + content)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/"
        model = OpenAIEmbeddings(EmbeddingSpec(model="small", base_url=url, api_key="sk-secret", **options))
        try:
            yield model, asked
        finally:
            await model.aclose()
            await asyncio.gather(*filter(None, connections))


async def lengths(body: dict[str, Any]) -> tuple[int, bytes]:
    """Vectors of each text's length, in the wrong order."""
    parts = [{"index": index, "embedding": [len(text), 0.5]} for index, text in enumerate(body["input"])]
    return 200, orjson.dumps({"object": "list", "data": parts[::-1]})


async def test_each_text_has_its_vector() -> None:
    """In the order of the texts, whatever the order of the answer; the request is OpenAI's."""
    async with serving(lengths, dimensions=2) as (model, asked):
        assert await model(["a", "bb", "ccc"]) == [[1.0, 0.5], [2.0, 0.5], [3.0, 0.5]]
    [(head, body)] = asked
    assert head.startswith("POST /v1/embeddings ")
    assert "authorization: bearer sk-secret" in head.lower()
    assert body == {"model": "small", "input": ["a", "bb", "ccc"], "encoding_format": "float", "dimensions": 2}


async def test_many_texts_are_several_requests() -> None:
    """No request has more than 64 texts, and none is made for nothing."""
    async with serving(lengths) as (model, asked):
        vectors = await model(["x" * number for number in range(MAX_TEXTS + 3)])
        assert await model([]) == []
    assert [vector[0] for vector in vectors] == list(range(MAX_TEXTS + 3))
    assert [len(body["input"]) for _, body in asked] == [MAX_TEXTS, 3]


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (401, b"{}", ModelAuthRejected),
        (404, b"no", ModelMissing),
        (307, b"", ModelMissing),
        (503, b"", ModelServerError),
        (200, b"<html>", ModelStreamBroken),
        (200, b"[]", ModelStreamBroken),
        (200, b'{"data": [{"index": 1, "embedding": [1]}]}', ModelStreamBroken),
        (200, b'{"data": [{"index": 0, "embedding": ["x"]}]}', ModelStreamBroken),
        (200, b'{"data": [{"index": 0, "embedding": null}]}', ModelStreamBroken),
    ],
)
async def test_what_goes_wrong_is_a_model_error(status: int, content: bytes, error: type[ModelError]) -> None:
    """A refusal, a failure and an answer of another shape are errors of our tree."""

    async def answer(body: dict[str, Any]) -> tuple[int, bytes]:
        return status, content

    async with serving(answer) as (model, _):
        with pytest.raises(error):
            await model(["a"])


async def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes than the cap are not read."""
    monkeypatch.setattr(embeddings, "MAX_ANSWER_BYTES", 10)
    async with serving(lengths) as (model, _):
        with pytest.raises(ModelOutputTooLarge):
            await model(["a"])


async def test_a_model_that_does_not_answer_is_not_waited_for() -> None:
    """After its time the request is given up."""

    async def never(body: dict[str, Any]) -> tuple[int, bytes]:
        return SILENT, b""

    async with serving(never, timeout_s=0.05) as (model, _):
        with pytest.raises(ModelTimeout):
            await model(["a"])


async def test_nobody_there() -> None:
    """A port where nobody listens is an error at once."""
    model = OpenAIEmbeddings(EmbeddingSpec(model="small", base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(ModelUnreachable):
        await model(["a"])
    await model.aclose()
