"""The proxy itself: its listening socket, its switches, and the connections it holds."""

import asyncio
import socket
from types import TracebackType
from typing import Any, Self

from benchmarks.fault_proxy.link import Connect, Link
from benchmarks.fault_proxy.switches import Switches, Traffic

_BACKLOG = 1024


class FaultProxy:
    """Passes bytes on between clients and one target, as badly as it is told. Use as an async context manager; on one event
    loop of asyncio's own kind. Everything may be called at any time. An RST of either side breaks the other at once, whatever
    is switched."""

    def __init__(self, target_host: str, target_port: int, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """A `target_host` that begins with a slash is the folder of a Postgres socket, as libpq has it. Port 0 takes a free
        one, which is kept."""
        self.traffic = Traffic()
        self._target = (target_host, target_port)
        self._host = host
        self._port = port
        self._switches = Switches()
        self._links: set[Link] = set()
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None

    @property
    def host(self) -> str:
        return self._host

    @property
    def port(self) -> int:
        """Where clients connect to; known once started."""
        return self._port

    @property
    def switches(self) -> Switches:
        return self._switches

    @property
    def refusing(self) -> bool:
        """Whether new connections are refused."""
        return self._server is None

    def set(self, **changes: Any) -> None:
        """Change switches by name, for connections that are open and for those to come. ValueError changes nothing."""
        self._switches = self._switches.changed(changes)
        for link in tuple(self._links):
            link.apply(self._switches)

    def cut(self) -> None:
        """End every open connection with FIN on both sides; bytes under way are lost. New ones are accepted."""
        for link in tuple(self._links):
            link.cut()

    def reset(self) -> None:
        """Break every open connection with RST on both sides. New ones are accepted."""
        for link in tuple(self._links):
            link.reset()

    async def refuse(self) -> None:
        """Refuse new connections from here on, and keep the port; open connections stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._reserved = _reserve(self._host, self._port)

    async def accept(self) -> None:
        """Accept connections (again)."""
        if self._server is None:
            self._release()
            listening = socket.create_server((self._host, self._port), backlog=_BACKLOG)
            self._port = listening.getsockname()[1]
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connection, sock=listening, backlog=_BACKLOG)

    async def restart(self) -> None:
        """What clients see of a server that is restarted: every connection ends, and the same port accepts new ones."""
        await self.refuse()
        self.cut()
        await self.accept()

    async def start(self) -> None:
        """Listens, on the same port as before when started again."""
        await self.accept()

    async def stop(self) -> None:
        """Stops listening, gives up the port and resets what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._release()
        self.reset()
        await self.traffic.until(lambda traffic: traffic.open == 0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _connection(self) -> asyncio.Protocol:
        self.traffic.count(accepted=1, open=1)
        link = Link(switches=self._switches, traffic=self.traffic, connect=self._connect, closed=self._closed)
        self._links.add(link)
        return link.client

    @property
    def _connect(self) -> Connect:
        loop, (host, port) = asyncio.get_running_loop(), self._target
        if host.startswith("/"):
            return lambda protocol: loop.create_unix_connection(protocol, f"{host}/.s.PGSQL.{port}")
        return lambda protocol: loop.create_connection(protocol, host, port)

    def _closed(self, link: Link) -> None:
        if link in self._links:
            self._links.remove(link)
            self.traffic.count(open=-1)

    def _release(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None


def _reserve(host: str, port: int) -> socket.socket:
    """Hold a port without listening. Its open connections allow that to a socket that shares addresses; from then on this one
    shares with nobody."""
    holding = socket.socket()
    holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holding.bind((host, port))
    holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return holding
