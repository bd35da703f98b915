"""The fault proxy between real sockets: what client and target see of each fault."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from benchmarks.fault_proxy import FaultProxy
from benchmarks.upstream import Upstream, refused_url
from tests.benchmarks.echo import Client, Target

LONG_S = 3600.0
"""Never, as far as a test is concerned."""


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    made = Target()
    await made.start()
    yield made
    made.stop()


@pytest.fixture
async def proxy(target: Target) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", target.port) as running:
        yield running


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Client]:
    made = await Client.of(proxy)
    yield made
    made.writer.close()


async def test_it_is_transparent(proxy: FaultProxy, target: Target, client: Client) -> None:
    """Bytes and the FIN pass in both directions, and are counted in both."""
    await client.say(b"hello")
    assert await client.hear(5) == b"hello"
    client.writer.write_eof()
    assert await target.end() == "FIN"
    assert await client.end() == "FIN"
    await proxy.traffic.until(lambda traffic: traffic.open == 0)
    traffic = proxy.traffic
    assert (traffic.accepted, traffic.unreachable, traffic.swallowed) == (1, 0, 0)
    assert traffic.bytes_from_client == traffic.bytes_to_target == 5
    assert traffic.bytes_from_target == traffic.bytes_to_client == 5


async def test_a_great_deal_passes_unharmed(proxy: FaultProxy, client: Client) -> None:
    """Twenty megabytes through both directions at once arrive as they were sent."""
    sent = bytes(range(256)) * 80_000
    sending = asyncio.create_task(client.say(sent))
    assert await client.hear(len(sent)) == sent
    await sending


async def test_a_slow_reader_is_waited_for(proxy: FaultProxy, client: Client) -> None:
    """The proxy keeps little; the rest stays with whoever sends, and all of it arrives in the end."""
    size = 64 * 1024 * 1024
    sending = asyncio.create_task(client.say(b"x" * size))
    await proxy.traffic.until(lambda traffic: traffic.bytes_to_client > 65_536)
    heard = len(await client.reader.readexactly(65_536))
    kept = proxy.traffic.bytes_from_target - proxy.traffic.bytes_to_client
    assert kept < 4 * 1024 * 1024
    assert proxy.traffic.bytes_from_client < size
    while heard < size:
        heard += len(await client.reader.read(1 << 20))
    await sending


async def test_latency_to_the_target(proxy: FaultProxy, target: Target, client: Client) -> None:
    """The target hears nothing until the latency falls."""
    proxy.set(latency_to_target_s=LONG_S)
    await client.say(b"hello")
    await proxy.traffic.until(lambda traffic: traffic.bytes_from_client == 5)
    assert proxy.traffic.bytes_to_target == 0
    proxy.set(latency_to_target_s=0)
    assert await client.hear(5) == b"hello"


async def test_latency_to_the_client(proxy: FaultProxy, target: Target, client: Client) -> None:
    """The target hears and answers; the client hears nothing until the latency falls."""
    proxy.set(latency_to_client_s=LONG_S)
    await client.say(b"hello")
    await proxy.traffic.until(lambda traffic: traffic.bytes_from_target == 5)
    assert (bytes(target.heard), proxy.traffic.bytes_to_client) == (b"hello", 0)
    proxy.set(latency_to_client_s=0)
    assert await client.hear(5) == b"hello"


async def test_latency_of_connections_to_come(proxy: FaultProxy) -> None:
    """What is switched holds for connections made later, too."""
    proxy.set(latency_to_client_s=LONG_S)
    client = await Client.of(proxy)
    await client.say(b"hello")
    await proxy.traffic.until(lambda traffic: traffic.bytes_from_target == 5)
    assert proxy.traffic.bytes_to_client == 0
    client.writer.close()


async def test_a_throttle(proxy: FaultProxy, target: Target, client: Client) -> None:
    """Of a message the first slice arrives; the rest once the throttle is lifted."""
    proxy.set(bytes_per_s=1 / LONG_S)
    await client.say(b"hello")
    await proxy.traffic.until(lambda traffic: traffic.bytes_to_target == 1)
    assert await client.hear(1) == b"h"
    proxy.set(bytes_per_s=None)
    assert await client.hear(4) == b"ello"


async def test_a_cut_is_a_fin_on_both_sides(proxy: FaultProxy, target: Target, client: Client) -> None:
    """What is under way is lost, both sides see the end, and the next connection is accepted."""
    await client.say(b"hello")
    assert await client.hear(5) == b"hello"
    proxy.set(latency_to_target_s=LONG_S)
    await client.say(b"lost")
    await proxy.traffic.until(lambda traffic: traffic.bytes_from_client == 9)
    proxy.cut()
    assert await client.end() == "FIN"
    assert await target.end() == "FIN"
    assert bytes(target.heard) == b"hello"
    await proxy.traffic.until(lambda traffic: traffic.open == 0)
    proxy.set(latency_to_target_s=0)
    again = await Client.of(proxy)
    await again.say(b"again")
    assert await again.hear(5) == b"again"
    again.writer.close()


async def test_a_cut_is_a_fin_even_for_a_client_that_is_speaking(proxy: FaultProxy, client: Client) -> None:
    """Bytes that nobody has read yet do not make an RST of it."""
    proxy.set(black_hole=True)
    sending = asyncio.create_task(client.say(b"x" * 50_000_000))
    await proxy.traffic.until(lambda traffic: traffic.bytes_from_client > 1_000_000)
    proxy.cut()
    async with asyncio.timeout(5):
        assert await client.reader.read() == b""
        await sending
    client.writer.close()
    await proxy.traffic.until(lambda traffic: traffic.open == 0)


async def test_a_reset_is_an_rst_on_both_sides(proxy: FaultProxy, target: Target, client: Client) -> None:
    """Both sides see the connection break."""
    await client.say(b"hello")
    assert await client.hear(5) == b"hello"
    proxy.reset()
    assert await client.end() == "RST"
    assert await target.end() == "RST"
    await proxy.traffic.until(lambda traffic: traffic.open == 0)


async def test_a_client_that_breaks_off_takes_the_target_along(
    proxy: FaultProxy, target: Target, client: Client
) -> None:
    """Its RST passes."""
    await client.say(b"hello")
    assert await client.hear(5) == b"hello"
    other = FaultProxy(proxy.host, proxy.port)
    async with other:
        through_both = await Client.of(other)
        await through_both.say(b"x")
        assert await through_both.hear(1) == b"x"
        other.reset()
        assert await target.end() == "RST"
    await client.say(b"still")
    assert await client.hear(5) == b"still"


async def test_new_connections_are_refused(proxy: FaultProxy, client: Client) -> None:
    """What is open stays, nobody else can take the port meanwhile, and afterwards it accepts again."""
    await client.say(b"a")
    assert await client.hear(1) == b"a"
    await proxy.refuse()
    assert proxy.refusing
    with pytest.raises(ConnectionRefusedError):
        await Client.of(proxy)
    with pytest.raises(OSError, match="in use"):
        await Upstream(port=proxy.port).start()
    await client.say(b"b")
    assert await client.hear(1) == b"b"
    await proxy.accept()
    again = await Client.of(proxy)
    await again.say(b"c")
    assert await again.hear(1) == b"c"
    again.writer.close()


async def test_a_black_hole_swallows_new_connections(proxy: FaultProxy, target: Target) -> None:
    """They are accepted and lead nowhere, even when the hole has gone; later ones are as usual."""
    proxy.set(black_hole=True)
    client = await Client.of(proxy)
    await client.say(b"hello")
    await proxy.traffic.until(lambda traffic: traffic.bytes_from_client == 5)
    proxy.set(black_hole=False)
    again = await Client.of(proxy)
    await again.say(b"again")
    assert await again.hear(5) == b"again"
    assert bytes(target.heard) == b"again"
    assert (proxy.traffic.swallowed, proxy.traffic.bytes_to_target) == (1, 5)
    client.writer.close()
    again.writer.close()
    await proxy.traffic.until(lambda traffic: traffic.open == 0)


async def test_a_black_hole_holds_up_open_connections(proxy: FaultProxy, target: Target, client: Client) -> None:
    """Nothing passes while it lasts, not even a FIN, and everything afterwards."""
    await client.say(b"a")
    assert await client.hear(1) == b"a"
    proxy.set(black_hole=True)
    await client.say(b"bc")
    client.writer.write_eof()
    await proxy.traffic.until(lambda traffic: traffic.bytes_from_client == 3)
    assert bytes(target.heard) == b"a"
    proxy.set(black_hole=False)
    assert await client.hear(2) == b"bc"
    assert await target.end() == "FIN"


async def test_a_restart_ends_connections_and_keeps_the_port(proxy: FaultProxy, client: Client) -> None:
    """Every client sees the end, and reconnects to the same address."""
    await client.say(b"a")
    assert await client.hear(1) == b"a"
    port = proxy.port
    await proxy.restart()
    assert await client.end() == "FIN"
    assert (proxy.port, proxy.refusing) == (port, False)
    again = await Client.of(proxy)
    await again.say(b"b")
    assert await again.hear(1) == b"b"
    again.writer.close()


async def test_a_stopped_proxy_starts_on_its_port() -> None:
    """Stopping resets what is open and frees the port; starting takes it again."""
    async with Upstream() as upstream:
        proxy = FaultProxy("127.0.0.1", upstream.port)
        await proxy.start()
        client, port = await Client.of(proxy), proxy.port
        await upstream.seen.until(lambda seen: seen.connected == 1)
        await proxy.stop()
        assert await client.end() == "RST"
        with pytest.raises(ConnectionRefusedError):
            await Client.of(proxy)
        async with proxy:
            assert proxy.port == port


async def test_a_target_that_is_not_there() -> None:
    """The client is accepted and reset, and counted as one that reached nobody."""
    with refused_url() as url:
        async with FaultProxy("127.0.0.1", httpx.URL(url).port or 0) as proxy:
            client = await Client.of(proxy)
            assert await client.end() == "RST"
            await proxy.traffic.until(lambda traffic: traffic.open == 0)
            assert proxy.traffic.unreachable == 1


async def test_a_wrong_switch_changes_nothing(proxy: FaultProxy) -> None:
    """Not even those named beside it."""
    before = proxy.switches
    with pytest.raises(ValueError, match="bytes_per_s"):
        proxy.set(latency_to_client_s=1, bytes_per_s=-1)
    assert proxy.switches == before
