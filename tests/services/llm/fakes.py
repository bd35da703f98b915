"""Sinks that keep what they are told, and a server that sends whatever a test wrote."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson


@dataclass
class KeptSink:
    """Keeps everything. While `room` is not set, its reader is slow."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    tool_call_chars: int = 0
    was_sent: bool = False
    room: asyncio.Event | None = None

    def sent(self) -> None:
        self.was_sent = True

    def text(self, delta: str) -> None:
        self.texts.append(delta)

    def reasoning(self, delta: str) -> None:
        self.thoughts.append(delta)

    def tool_call(self, chars: int) -> None:
        self.tool_call_chars += chars

    async def drain(self) -> None:
        if self.room is not None:
            await self.room.wait()


class Shown:
    """A run's sink that keeps what was shown."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, str | None]] = []

    def text(self, delta: str, source: str | None = None) -> None:
        self.pieces.append((delta, source))

    def reasoning(self, delta: str, source: str | None = None) -> None:
        self.pieces.append((delta, source))

    async def drain(self) -> None: ...

    async def pace(self) -> None: ...


def event(chunk: object) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def delta(finish_reason: object = None, **fields: object) -> dict[str, object]:
    """A chunk of a chat-completions stream."""
    return {"choices": [{"delta": fields, "finish_reason": finish_reason}]}


@asynccontextmanager
async def stream_of(*chunks: object) -> AsyncIterator[str]:
    """Serve one answer of these chunks, then its end; yield the base URL."""
    body = b"".join(map(event, chunks)) + b"data: [DONE]\n\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
