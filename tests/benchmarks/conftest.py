"""An upstream, and a client that shows the bytes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from benchmarks.upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def chat(content: str, *, stream: bool = True, **more: Any) -> dict[str, Any]:
    """The body of a one-message request."""
    return {"model": "simulated", "stream": stream, "messages": [{"role": "user", "content": content}], **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Everything that came back on one connection, and how it ended."""

    raw: bytes
    reset: bool

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def head(self) -> str:
        return self.raw.split(b"\r\n\r\n", 1)[0].decode().lower()

    @property
    def body(self) -> bytes:
        """Still framed."""
        return self.raw.split(b"\r\n\r\n", 1)[1]


class RawClient:
    """One request over one bare connection."""

    def __init__(self, upstream: Upstream) -> None:
        self._port = upstream.port
        self._writer: asyncio.StreamWriter | None = None

    async def open(
        self, body: object, *, method: str = "POST", target: str = "/v1/chat/completions", **headers: str
    ) -> None:
        self._reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer = writer
        payload = body if isinstance(body, bytes) else orjson.dumps(body)
        lines = [f"{method} {target} HTTP/1.1", "host: upstream", f"content-length: {len(payload)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + payload)

    async def until(self, mark: bytes) -> bytes:
        """Reads up to the mark."""
        async with asyncio.timeout(5):
            return await self._reader.readuntil(mark)

    async def rest(self) -> Heard:
        """Reads until the upstream closes."""
        raw, reset = bytearray(), False
        try:
            async with asyncio.timeout(5):
                while piece := await self._reader.read(65536):
                    raw += piece
        except ConnectionResetError:
            reset = True
        self.close()
        return Heard(raw=bytes(raw), reset=reset)

    async def ask(self, body: object, **more: str) -> Heard:
        """The whole exchange; `connection: close` lets a complete reply end too."""
        await self.open(body, connection="close", **more)
        return await self.rest()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


@pytest.fixture
async def raw(upstream: Upstream) -> AsyncIterator[RawClient]:
    client = RawClient(upstream)
    yield client
    client.close()
