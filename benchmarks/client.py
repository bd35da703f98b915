"""The load client: N streams in closed loop, in a process of its own. `python -m benchmarks.client` reads a Load as
JSON on stdin, prints `begin` and `end` at the edges of its window, so that the caller can read the servers' CPU clocks
there, then the Found as JSON."""

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import cast
from urllib.parse import SplitResult, urlsplit

import httptools
import uvloop

from benchmarks import stamps
from benchmarks.findings import analyse
from benchmarks.heard import Heard
from benchmarks.load import NONCE, Found, Load

_RETRY_AFTER_S = 0.1  # after an error, so that a dead server is not stormed


class Connection(asyncio.Protocol):
    """One connection, reused from reply to reply while the server keeps it. It only notes what comes, and when."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._ended: asyncio.Future[str | None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[tuple[int, bytes]] = []
        self._keep_alive = True
        self._now_us = 0

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing() and self._keep_alive

    async def ask(self, request: bytes, *, stall_s: float) -> Heard:
        """Sends the request and reads its reply to the end, whatever that is."""
        assert self._transport is not None  # noqa: S101  asked only while usable
        self._parser = httptools.HttpResponseParser(self)
        ended = self._ended = asyncio.get_running_loop().create_future()
        heard = Heard(sent_us=stamps.now_us())
        self._pieces, self._now_us = heard.pieces, heard.sent_us
        self._transport.write(request)
        while not ended.done():
            quiet_since_us = self._now_us
            await asyncio.wait((ended,), timeout=stall_s)
            if not ended.done() and quiet_since_us == self._now_us:
                ended.set_result("stalled")
        heard.broken = ended.result()
        if heard.broken is not None:
            self.close()
        return heard

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base class

    def data_received(self, data: bytes) -> None:
        self._now_us = stamps.now_us()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end("malformed_http")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end("cut" if exc is None else "reset")

    def on_body(self, body: bytes) -> None:
        """Called by httptools, as is the next one."""
        self._pieces.append((self._now_us, body))

    def on_message_complete(self) -> None:
        self._keep_alive = self._parser.should_keep_alive()
        status = self._parser.get_status_code()
        self._end(None if status == 200 else f"status_{status}")

    def _end(self, broken: str | None) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(broken)


class Client:
    """Runs one Load. What it hears is kept in memory until the end."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._address = urlsplit(load.url)
        self._heard: list[Heard] = []
        self._asked = 0
        self._open = 0
        self._peak_open = 0
        self._stopping = False

    async def run(self) -> Found:
        load, loop = self._load, asyncio.get_running_loop()
        spread_s = load.warm_up_s / load.streams
        streams = [loop.create_task(self._stream(delay_s=spread_s * index)) for index in range(load.streams)]
        if load.window_s is not None:
            await asyncio.sleep(load.warm_up_s)
        print("begin", flush=True)
        begin_us, begin_cpu_s = stamps.now_us(), time.process_time()
        if load.window_s is not None:
            await asyncio.sleep(load.window_s)
        else:
            await asyncio.gather(*streams)
        self._stopping = True
        end_us, cpu_s = stamps.now_us(), time.process_time() - begin_cpu_s
        print("end", flush=True)
        await asyncio.gather(*streams)
        findings = analyse(self._heard, begin_us=begin_us, end_us=end_us, expected_tokens=load.tokens)
        return findings.found(peak_open=self._peak_open, client_cpu_s=cpu_s)

    async def _stream(self, *, delay_s: float) -> None:
        """One of the concurrent streams: reply after reply."""
        load = self._load
        await asyncio.sleep(delay_s)
        connection: Connection | None = None
        while not self._stopping and (load.replies is None or self._asked < load.replies):
            self._asked += 1
            request = self._request(self._asked)
            self._open += 1
            self._peak_open = max(self._peak_open, self._open)
            try:
                if connection is None or not connection.usable:
                    connection = await connect(self._address)
                heard = await connection.ask(request, stall_s=load.stall_s)
            except OSError as refused:
                heard = Heard(sent_us=stamps.now_us(), broken=type(refused).__name__)
            finally:
                self._open -= 1
            self._heard.append(heard)
            if heard.broken is not None:
                await asyncio.sleep(_RETRY_AFTER_S)
        if connection is not None:
            connection.close()

    def _request(self, number: int) -> bytes:
        return post(self._address, self._load.headers, self._load.body.replace(NONCE, str(number)).encode())


async def connect(address: SplitResult) -> Connection:
    """Raises OSError."""
    host, port = address.hostname or "", address.port or 80
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port)
    return connection


def post(address: SplitResult, more_headers: Mapping[str, str], body: bytes) -> bytes:
    """The bytes of one request with a JSON body."""
    own = {"host": address.netloc, "content-type": "application/json", "content-length": str(len(body))}
    headers = "".join(f"{name}: {value}\r\n" for name, value in {**own, **more_headers}.items())
    return f"POST {address.path} HTTP/1.1\r\n{headers}\r\n".encode() + body


def main() -> None:
    load = Load.from_json(sys.stdin.buffer.read())
    print(uvloop.run(Client(load).run()).to_json().decode(), flush=True)


if __name__ == "__main__":
    main()
