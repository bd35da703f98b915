"""A server that says everything back, and a client of it: the two ends of a proxy that is tested."""

import asyncio

from benchmarks.fault_proxy import FaultProxy


class Target:
    """A server that says everything back, and keeps what it heard and how each connection ended."""

    def __init__(self) -> None:
        self.port = 0
        self.heard = bytearray()
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        end = "FIN"
        try:
            while data := await reader.read(65_536):
                self.heard += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            end = "RST"
        writer.close()
        self._open.discard(writer)
        self.ends.put_nowait(end)

    async def end(self) -> str:
        """How the next connection ended: FIN or RST."""
        async with asyncio.timeout(5):
            return await self.ends.get()


class Client:
    """A connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def of(cls, proxy: FaultProxy) -> "Client":
        return cls(*await asyncio.open_connection(proxy.host, proxy.port))

    async def say(self, data: bytes) -> None:
        """Send, without waiting for an answer."""
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self, size: int) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readexactly(size)

    async def end(self) -> str:
        """How the connection ends: FIN or RST."""
        try:
            async with asyncio.timeout(5):
                assert await self.reader.read() == b""
        except ConnectionResetError:
            return "RST"
        finally:
            self.writer.close()
        return "FIN"
