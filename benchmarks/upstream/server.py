"""The simulated upstream itself: routes, authentication, and the life of its listening socket."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

import orjson

from benchmarks import stamps
from benchmarks.upstream.answers import complete, compose, streamed
from benchmarks.upstream.connection import Connection
from benchmarks.upstream.directive import Directive, DirectiveError, directive_of
from benchmarks.upstream.faults import FAULTS, faulty
from benchmarks.upstream.record import Record, SeenRequest
from benchmarks.upstream.reply import Reply, error, whole
from benchmarks.upstream.request import ChatRequest, read_request

Script = Callable[[ChatRequest], Directive | None]
"""Decides in code how a request is answered; None leaves it to the request's own directive."""

_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"})


def in_turn(*directives: Directive | None) -> Script:
    """A script that answers the first request by the first directive and so on; afterwards None."""
    left = iter(directives)
    return lambda _request: next(left, None)


class Upstream:
    """An OpenAI-compatible server that does what it is told. Use as an async context manager; one event loop, loopback
    by default."""

    def __init__(
        self,
        *,
        script: Script | None = None,
        default: Directive | None = None,
        api_key: str | None = None,
        models: tuple[str, ...] = ("simulated",),
        host: str = "127.0.0.1",
        port: int = 0,
        remember: int = 2000,
    ) -> None:
        """`default` answers requests without a directive and may be replaced at any time: assigning a fault makes an
        outage. With `api_key` every other key is refused with 401. `remember` bounds the requests kept in `seen`."""
        self.seen = Record(limit=remember)
        self.script = script
        self.default = default or Directive()
        self._api_key = api_key
        self._models = models
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._numbers = 0
        self._accepted = 0

    @property
    def port(self) -> int:
        """The port in use; known once started."""
        return self._port

    @property
    def url(self) -> str:
        """What `OPENAI_BASE_URL` wants."""
        return f"http://{self._host}:{self._port}/v1"

    async def start(self) -> None:
        """Listens, on the same port as before when started again."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self._host, self._port, backlog=4096)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening and cuts every connection, as a killed server would."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
            await connection.lost.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _connection(self) -> Connection:
        self._accepted += 1
        return Connection(application=self, number=self._accepted, open_connections=self._connections)

    def answer(
        self, *, method: str, target: str, headers: dict[str, str], body: bytes, connection: int
    ) -> tuple[Reply, SeenRequest | None] | Awaitable[Reply]:
        """The reply to one request, and its record when it is one for the model."""
        url = urlsplit(target)
        match method, url.path:
            case "POST", "/v1/chat/completions":
                return self._chat(headers=headers, body=body, connection=connection)
            case "GET", "/v1/models":
                return self._refusal(headers) or self._list_models(), None
            case "GET", "/_seen":
                return self._report(dict(parse_qsl(url.query)))
            case "DELETE", "/_seen":
                self.seen.clear()
                return whole(b"{}"), None
            case "PUT", "/_default":
                return self._set_default(body), None
            case _:
                return error(404, message=f"Unknown request URL: {method} {url.path}"), None

    def _chat(self, *, headers: dict[str, str], body: bytes, connection: int) -> tuple[Reply, SeenRequest | None]:
        arrived_us = stamps.now_us()
        self._numbers += 1
        try:
            request = read_request(number=self._numbers, body=body, headers=_without_secrets(headers))
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            return error(400, message=f"unreadable request: {problem}"), None
        seen = SeenRequest(
            number=request.number,
            attempt=self.seen.attempt(request.key),
            connection=connection,
            authorization="authorization" in headers,
            headers=request.headers,
            body=request.body,
            stream=request.stream,
            received_s=time.monotonic(),
        )
        self.seen.began(seen)
        return self._refusal(headers) or self._obey(request, attempt=seen.attempt, arrived_us=arrived_us), seen

    def _obey(self, request: ChatRequest, *, attempt: int, arrived_us: int) -> Reply:
        try:
            directive = self._directive(request)
        except DirectiveError as problem:
            return error(400, message=str(problem), code="bad_directive")
        turn = compose(request, directive, arrived_us=arrived_us)
        reply = streamed(request, directive, turn) if request.stream else complete(request, directive, turn)
        struck = directive.fault is not None and (directive.times is None or attempt <= directive.times)
        return faulty(reply, directive) if struck and directive.at_step in {None, request.step} else reply

    def _directive(self, request: ChatRequest) -> Directive:
        directive = self.script(request) if self.script is not None else None
        if directive is None:
            header, metadata = request.headers.get("x-simulate"), request.body.get("metadata")
            directive = directive_of(message=request.user_text, header=header, metadata=metadata) or self.default
        if directive.fault is not None and directive.fault not in FAULTS:
            raise DirectiveError(f"no fault {directive.fault!r}; there are: {', '.join(FAULTS)}")
        return directive

    def _refusal(self, headers: dict[str, str]) -> Reply | None:
        if self._api_key is None or headers.get("authorization") == f"Bearer {self._api_key}":
            return None
        return error(401, message="Incorrect API key provided", code="invalid_api_key")

    def _list_models(self) -> Reply:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "simulation"} for name in self._models]
        return whole(orjson.dumps({"object": "list", "data": models}))

    async def _report(self, query: dict[str, str]) -> Reply:
        """GET /_seen: what was seen. With `?closed=1&completed=2&open=0&timeout_s=5` it waits until each count is
        reached (open: fallen to), and answers 408 when the time is over."""
        timeout_s = float(query.pop("timeout_s", "5"))
        wanted = {
            name: int(value)
            for name, value in query.items()
            if name in {"received", "completed", "faulted", "closed", "ended"}
        }
        at_most = int(query["open"]) if "open" in query else None

        def reached(seen: Record) -> bool:
            counts = all(getattr(seen, name) >= count for name, count in wanted.items())
            return counts and (at_most is None or seen.open <= at_most)

        await self.seen.until(reached, timeout_s=timeout_s)
        requests = [request.to_json() for request in self.seen.requests]
        return whole(orjson.dumps({**self.seen.summary(), "requests": requests}))

    def _set_default(self, body: bytes) -> Reply:
        """PUT /_default: how requests without a directive are answered from now on; a fault here is an outage, `{}`
        ends it."""
        try:
            self.default = Directive.from_json(orjson.loads(body))
        except ValueError as problem:
            return error(400, message=str(problem), code="bad_directive")
        return whole(b"{}")


def _without_secrets(headers: dict[str, str]) -> dict[str, str]:
    """The headers without keys, wherever the bearer's key turns up again."""
    key = headers.get("authorization", "").removeprefix("Bearer ").strip()
    return {
        name: value for name, value in headers.items() if name not in _SECRET_HEADERS and not (key and key in value)
    }
