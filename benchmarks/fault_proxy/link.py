"""One client's connection and the one to the target that belongs to it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from benchmarks.fault_proxy.line import Line
from benchmarks.fault_proxy.switches import Switches, Traffic
from benchmarks.upstream.playback import reset

Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[object]]
"""Connects a protocol to the target; OSError when nobody is there."""


class Side(asyncio.Protocol):
    """One end: what it receives goes into one line, what it sends comes out of the other."""

    def __init__(self, *, link: "Link", into: Line, out_of: Line) -> None:
        self._link = link
        self._into = into
        self._out_of = out_of
        self._deaf = False
        self._peer_ended = False
        self.transport: asyncio.Transport | None = None
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._into.comes_from(self.transport)
        self._out_of.goes_to(self.transport)
        self._link.made(self)

    def data_received(self, data: bytes) -> None:
        self._link.received(self, len(data))
        if not self._deaf:
            self._into.feed(data)

    def eof_received(self) -> bool:
        """Whether the transport is to stay open, for what the other end still says."""
        self._peer_ended = True
        if not self._deaf:
            self._into.feed_end()
        return not self._deaf

    def pause_writing(self) -> None:
        self._out_of.pause()

    def resume_writing(self) -> None:
        self._out_of.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._link.lost(self, broken=exc is not None)

    def swallow(self) -> None:
        """What comes from here on leads nowhere."""
        self._deaf = True

    def end(self) -> None:
        """FIN now, and the rest when the peer has closed too: closing at once would make an RST of unread bytes."""
        self._deaf = True
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.resume_reading()
        if self._peer_ended:
            self.transport.close()
        else:
            self.transport.write_eof()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        if self.transport is not None:
            reset(self.transport)


class Link:
    """Both sides and both directions."""

    def __init__(
        self, *, switches: Switches, traffic: Traffic, connect: Connect, closed: Callable[["Link"], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._traffic = traffic
        self._connect = connect
        self._closed = closed
        self._connecting: asyncio.Task[None] | None = None
        self._swallows = switches.black_hole
        self._over = False
        self._ends = 0
        self._to_target = Line(loop=loop, moved=lambda size: traffic.count(bytes_to_target=size), ended=self._ended)
        self._to_client = Line(loop=loop, moved=lambda size: traffic.count(bytes_to_client=size), ended=self._ended)
        self.client = Side(link=self, into=self._to_target, out_of=self._to_client)
        self._target = Side(link=self, into=self._to_client, out_of=self._to_target)
        self.apply(switches)

    def made(self, side: Side) -> None:
        """The client is there; then so should be the target."""
        if self._over:
            side.reset()
            return
        if side is not self.client:
            return
        if self._swallows:
            self._target.gone = True
            self.client.swallow()
            self._traffic.count(swallowed=1)
        else:
            self._connecting = self._loop.create_task(self._reach())

    def received(self, side: Side, size: int) -> None:
        if side is self.client:
            self._traffic.count(bytes_from_client=size)
        else:
            self._traffic.count(bytes_from_target=size)

    def lost(self, side: Side, *, broken: bool) -> None:
        """A side that broke off takes the other along; one that was closed has had its FIN passed on."""
        if broken:
            self._abandon()
            (self._target if side is self.client else self.client).reset()
        if self.client.gone and self._target.gone:
            self._closed(self)

    def apply(self, switches: Switches) -> None:
        rate, frozen = switches.bytes_per_s, switches.black_hole
        self._to_target.rule(latency_s=switches.latency_to_target_s, bytes_per_s=rate, frozen=frozen)
        self._to_client.rule(latency_s=switches.latency_to_client_s, bytes_per_s=rate, frozen=frozen)

    def cut(self) -> None:
        """FIN to both sides; what is under way is lost."""
        self._abandon()
        self.client.end()
        self._target.end()

    def reset(self) -> None:
        """RST to both sides."""
        self._abandon()
        self.client.reset()
        self._target.reset()

    def _abandon(self) -> None:
        self._over = True
        self._to_target.drop()
        self._to_client.drop()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._target.transport is None:
            self._target.gone = True

    async def _reach(self) -> None:
        try:
            await self._connect(lambda: self._target)
        except OSError:
            self._target.gone = True
            self._traffic.count(unreachable=1)
            self.client.reset()

    def _ended(self) -> None:
        self._ends += 1
        if self._ends == 2:
            self.client.close()
            self._target.close()
