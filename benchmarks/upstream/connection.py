"""HTTP/1.1 on one connection: requests in, replies played out. No pipelining: a second request before the first reply
is over is refused by closing, as no client here sends one."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol, cast

import httptools

from benchmarks.upstream.playback import Playback
from benchmarks.upstream.record import ClosedBy, Outcome, Record, SeenConnection, SeenRequest
from benchmarks.upstream.reply import End, Framing, Reply, error

_UNREADABLE = b"The request cannot be read; this port speaks HTTP/1.1.\n"


class Application(Protocol):
    """What answers the requests."""

    seen: Record

    def answer(
        self, *, method: str, target: str, headers: dict[str, str], body: bytes, connection: int
    ) -> tuple[Reply, SeenRequest | None] | Awaitable[Reply]: ...


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, *, application: Application, number: int, open_connections: set["Connection"]) -> None:
        self._application = application
        self._number = number
        self._open_connections = open_connections
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._connection: SeenConnection | None = None
        self._left = False
        self.lost = asyncio.Event()
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._keep_alive = True
        self._seen: SeenRequest | None = None
        self._playback: Playback | None = None
        self._waiting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base class
        self._open_connections.add(self)
        self._connection = self._application.seen.opened(self._number)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse_garbage()

    def eof_received(self) -> None:
        self._left = True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we have closed; what is still being played was cut by the client."""
        self._open_connections.discard(self)
        self.lost.set()
        if self._waiting is not None:
            self._waiting.cancel()
        if self._playback is not None:
            self._playback.stop()
            self._finish(Outcome.CLIENT_CLOSED)
        if self._connection is not None:
            by = ClosedBy.CLIENT if self._left or exc is not None else ClosedBy.UPSTREAM
            self._application.seen.lost(self._connection, by)

    def pause_writing(self) -> None:
        if self._playback is not None:
            self._playback.pause()

    def resume_writing(self) -> None:
        if self._playback is not None:
            self._playback.resume()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # httptools calls these while a request is being parsed.

    def on_message_begin(self) -> None:
        self._target, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._playback is not None or self._waiting is not None:
            self.abort()
            return
        if self._connection is not None:
            self._connection.requests += 1
        self._keep_alive = self._parser.should_keep_alive()  # true only until the parser has moved on
        answered = self._application.answer(
            method=self._parser.get_method().decode("latin-1"),
            target=self._target.decode("latin-1"),
            headers=self._headers,
            body=b"".join(self._body),
            connection=self._number,
        )
        if isinstance(answered, tuple):
            self._play(*answered)
        else:
            self._waiting = self._loop.create_task(self._play_later(answered))

    async def _play_later(self, answered: Awaitable[Reply]) -> None:
        try:
            reply = await answered
        except TimeoutError as late:
            reply = error(408, message=str(late), kind="timeout")
        self._waiting = None
        self._play(reply, None)

    def _play(self, reply: Reply, seen: SeenRequest | None) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._seen = seen
        self._playback = Playback(
            reply=reply, seen=seen, transport=self._transport, loop=self._loop, on_end=self._on_end
        )
        self._playback.start()

    def _refuse_garbage(self) -> None:
        """What no HTTP server can read (a TLS handshake, say) is answered in plain text, as they do."""
        if self._playback is None and self._waiting is None:
            body = ((0.0, _UNREADABLE), (0.0, End.FIN))
            head = (("content-type", "text/plain"),)
            self._play(Reply(opening=body, status=400, headers=head, framing=Framing.CLOSE), None)
        else:
            self.abort()

    def _on_end(self, outcome: Outcome, reusable: bool) -> None:
        self._finish(outcome)
        if reusable and not self._keep_alive and self._transport is not None:
            self._transport.close()

    def _finish(self, outcome: Outcome) -> None:
        seen, self._seen, self._playback = self._seen, None, None
        if seen is not None:
            self._application.seen.finished(seen, outcome)
