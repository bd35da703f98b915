"""Steering a proxy from another process, over HTTP on loopback.

GET /                what is switched and counted; with `?open=0&accepted=2&timeout_s=5` it waits until that is reached
PUT /                {"latency_to_client_s": 0.2, "bytes_per_s": 10000, "black_hole": true, "refusing": true}, or some of it
POST /cut            FIN to every open connection
POST /reset          RST to every open connection
POST /restart        FIN to every open connection, and the port accepts again
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit

import orjson

from benchmarks.fault_proxy.proxy import FaultProxy
from benchmarks.fault_proxy.switches import Traffic
from benchmarks.upstream.connection import Connection
from benchmarks.upstream.record import Record
from benchmarks.upstream.reply import Reply, error, whole


class Control:
    """The application behind the control port."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.seen = Record()
        self._proxy = proxy
        self._connections: set[Connection] = set()

    def connection(self) -> Connection:
        """The protocol of one client of the control port."""
        return Connection(application=self, number=0, open_connections=self._connections)

    def answer(
        self, *, method: str, target: str, headers: dict[str, str], body: bytes, connection: int
    ) -> Awaitable[Reply]:
        """The reply to one request."""
        return self._answer(method, target, body)

    async def _answer(self, method: str, target: str, body: bytes) -> Reply:
        url = urlsplit(target)
        try:
            match method, url.path:
                case "GET", "/":
                    await self._wait(dict(parse_qsl(url.query)))
                case "PUT", "/":
                    await self._switch(orjson.loads(body))
                case "POST", "/cut":
                    self._proxy.cut()
                case "POST", "/reset":
                    self._proxy.reset()
                case "POST", "/restart":
                    await self._proxy.restart()
                case _:
                    return error(404, message=f"Unknown: {method} {url.path}")
        except ValueError as problem:
            return error(400, message=str(problem))
        return whole(orjson.dumps(self._state()))

    def _state(self) -> dict[str, object]:
        proxy = self._proxy
        return {**proxy.switches.to_json(), "refusing": proxy.refusing, **proxy.traffic.summary()}

    async def _switch(self, changes: object) -> None:
        if not isinstance(changes, dict):
            raise ValueError(f"switches are a JSON object, not {changes!r}")  # noqa: TRY004  becomes a 400 like the others
        refusing = changes.pop("refusing", self._proxy.refusing)
        if type(refusing) is not bool:
            raise ValueError(f"refusing is true or false, not {refusing!r}")
        self._proxy.set(**changes)
        await (self._proxy.refuse() if refusing else self._proxy.accept())

    async def _wait(self, query: dict[str, str]) -> None:
        """Until each count is reached; `open` is one that falls."""
        timeout_s = float(query.pop("timeout_s", "5"))
        wanted = {name: int(value) for name, value in query.items()}
        if unknown := wanted.keys() - self._proxy.traffic.summary().keys():
            raise ValueError(f"nothing of that name is counted: {', '.join(sorted(unknown))}")
        await self._proxy.traffic.until(_reached(wanted), timeout_s=timeout_s)


def _reached(wanted: dict[str, int]) -> Callable[[Traffic], bool]:
    def reached(traffic: Traffic) -> bool:
        return all(
            getattr(traffic, name) <= count if name == "open" else getattr(traffic, name) >= count
            for name, count in wanted.items()
        )

    return reached
