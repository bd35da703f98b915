"""The simulated upstream itself: routes, authentication, and the life of its listening socket."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

import orjson

from benchmarks import stamps
from benchmarks.upstream import control
from benchmarks.upstream.answers import complete, compose, streamed
from benchmarks.upstream.certificates import Credentials
from benchmarks.upstream.connection import Connection
from benchmarks.upstream.directive import Directive, DirectiveError, directive_of
from benchmarks.upstream.faults import fault_of
from benchmarks.upstream.record import Record, SeenRequest
from benchmarks.upstream.reply import Reply, error, whole
from benchmarks.upstream.request import ChatRequest, read_request
from benchmarks.upstream.schedule import Progress, Schedule

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
        schedule: Schedule | None = None,
        tls: str | None = None,
        api_key: str | None = None,
        models: tuple[str, ...] = ("simulated",),
        host: str = "127.0.0.1",
        port: int = 0,
        remember: int = 2000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`default` answers requests without a directive and may be replaced at any time: assigning a fault makes an
        outage. `schedule` goes before it and begins with the first `start`. `tls` is a name from CERTIFICATES, None for plain
        HTTP. With `api_key` every other key is refused with 401. `remember` bounds the requests kept in `seen`. `clock`, in
        seconds and monotonic, dates what is seen and moves the schedule; answers are paced by the event loop's own."""
        self.seen = Record(limit=remember, clock=clock)
        self.script = script
        self.default = default or Directive()
        self._credentials = Credentials(tls) if tls is not None else None
        self._clock = clock
        self._schedule = schedule
        self._progress: Progress | None = None
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
        scheme = "http" if self._credentials is None else "https"
        return f"{scheme}://{self._host}:{self._port}/v1"

    @property
    def ca_file(self) -> Path:
        """The authority that a client of `tls` is to trust, there as long as this is. ValueError without TLS."""
        if self._credentials is None:
            raise ValueError("an upstream without TLS has no certificate authority")
        return self._credentials.ca_file

    @property
    def schedule(self) -> Schedule | None:
        """What happens to requests without a directive of their own; one that is assigned begins at once."""
        return self._schedule

    @schedule.setter
    def schedule(self, schedule: Schedule | None) -> None:
        self._schedule = schedule
        self._progress = None if schedule is None else Progress(schedule, clock=self._clock)

    async def start(self) -> None:
        """Listens, on the same port as before when started again."""
        loop = asyncio.get_running_loop()
        context = None if self._credentials is None else self._credentials.server_context()
        self._server = await loop.create_server(self._connection, self._host, self._port, backlog=4096, ssl=context)
        self._port = self._server.sockets[0].getsockname()[1]
        if self._progress is None:
            self.schedule = self._schedule

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
        self.seen.accept()
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
                progress = None if self._progress is None else self._progress.to_json()
                return control.report(self.seen, dict(parse_qsl(url.query)), progress)
            case "DELETE", "/_seen":
                self.seen.clear()
                return whole(b"{}"), None
            case "PUT", "/_default" | "/_schedule":
                return self._steer(url.path, body), None
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
            received_s=self._clock(),
        )
        self.seen.began(seen)
        return self._refusal(headers) or self._obey(request, seen, arrived_us=arrived_us), seen

    def _obey(self, request: ChatRequest, seen: SeenRequest, *, arrived_us: int) -> Reply:
        try:
            directive = self._directive(request)
            fault = fault_of(directive)
        except DirectiveError as problem:
            return error(400, message=str(problem), code="bad_directive")
        spared = directive.times is not None and seen.attempt > directive.times
        if spared or directive.at_step not in {None, request.step}:
            fault = None
        if fault is not None:
            seen.fault = directive.fault
            directive = fault.ask(directive)
        turn = compose(request, directive, arrived_us=arrived_us)
        reply = streamed(request, directive, turn) if request.stream else complete(request, directive, turn)
        reply = reply if fault is None else fault.strike(reply, directive)
        return replace(reply, head_s=directive.head_s) if directive.head_s else reply

    def _directive(self, request: ChatRequest) -> Directive:
        """The script's, else the request's own, else the schedule's, else the default."""
        directive = self.script(request) if self.script is not None else None
        if directive is None:
            header, metadata = request.headers.get("x-simulate"), request.body.get("metadata")
            directive = directive_of(message=request.user_text, header=header, metadata=metadata)
        if directive is None and self._progress is not None:
            directive = self._progress.next()
        return directive or self.default

    def _refusal(self, headers: dict[str, str]) -> Reply | None:
        if self._api_key is None or headers.get("authorization") == f"Bearer {self._api_key}":
            return None
        return error(401, message="Incorrect API key provided", code="invalid_api_key")

    def _list_models(self) -> Reply:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "simulation"} for name in self._models]
        return whole(orjson.dumps({"object": "list", "data": models}))

    def _steer(self, path: str, body: bytes) -> Reply:
        try:
            if path == "/_default":
                self.default = control.default_in(body)
            else:
                self.schedule = control.schedule_in(body)
        except DirectiveError as problem:
            return error(400, message=str(problem), code="bad_directive" if path == "/_default" else "bad_schedule")
        return whole(b"{}")


def _without_secrets(headers: dict[str, str]) -> dict[str, str]:
    """The headers without keys, wherever the bearer's key turns up again."""
    key = headers.get("authorization", "").removeprefix("Bearer ").strip()
    return {
        name: value for name, value in headers.items() if name not in _SECRET_HEADERS and not (key and key in value)
    }
