"""A client that reads when it is told to, and not before."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import orjson

from tests.e2e.faults.looking import question
from tests.e2e.launching import Served

BUFFER_BYTES = 4_096


class SlowReader:
    """It has asked, and has read the head of the answer."""

    def __init__(self, connection: socket.socket, run_id: str) -> None:
        self._connection = connection
        self.run_id = run_id

    async def rest(self) -> bytes:
        """Read to the end, whichever it is."""
        loop, received = asyncio.get_running_loop(), bytearray()
        with contextlib.suppress(ConnectionResetError):
            while more := await loop.sock_recv(self._connection, 1 << 20):
                received += more
        return bytes(received)


@asynccontextmanager
async def slow_reader(served: Served, text: str, **more: str) -> AsyncIterator[SlowReader]:
    """Ask on a socket of its own, whose buffer is small, and read the head of the answer."""
    loop, url = asyncio.get_running_loop(), urlsplit(served.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        connection.setblocking(False)
        await loop.sock_connect(connection, (url.hostname, url.port))
        body = orjson.dumps(question(text, **more))
        head = [
            "POST /chat/stream HTTP/1.1",
            f"host: {url.netloc}",
            f"authorization: {served.headers['authorization']}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        await loop.sock_sendall(connection, "\r\n".join([*head, "", ""]).encode() + body)
        answer = b""
        while (found := re.search(rb"x-run-id: (\S+)\r\n", answer)) is None:
            received = await loop.sock_recv(connection, 256)
            assert received, answer
            answer += received
        yield SlowReader(connection, found[1].decode())
