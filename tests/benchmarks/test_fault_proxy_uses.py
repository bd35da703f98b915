"""The fault proxy in use: before the simulated upstream, before Postgres, and as a process of its own."""

import asyncio
import signal
import sys
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import pytest

from benchmarks.fault_proxy import FaultProxy
from benchmarks.upstream import Directive, Upstream
from tests.benchmarks.conftest import chat
from tests.benchmarks.echo import Client, Target

LONG_S = 3600.0
"""Never, as far as a test is concerned."""


async def test_an_answer_of_the_upstream_is_reset_on_its_way(upstream: Upstream) -> None:
    """A client of the simulated upstream sees its stream break, and the upstream sees it leave."""
    question = Directive(fault="stall").in_message()
    async with FaultProxy("127.0.0.1", upstream.port) as proxy:
        url = f"http://{proxy.host}:{proxy.port}/v1/chat/completions"
        async with httpx.AsyncClient() as client, client.stream("POST", url, json=chat(question)) as response:
            pieces = response.aiter_raw()
            await anext(pieces)
            proxy.reset()
            with pytest.raises(httpx.ReadError):
                async for _ in pieces:
                    pass
        await upstream.seen.until(lambda seen: seen.closed == 1)


@pytest.mark.postgres
async def test_postgres_is_cut_off_and_comes_back(fresh_database_url: str) -> None:
    """Through the server's Unix socket: a query passes, is lost with its connection, and passes again after the restart."""
    url = urlsplit(fresh_database_url)
    async with FaultProxy(parse_qs(url.query)["host"][0], 5432) as proxy:
        through = f"postgresql://{url.username}@{proxy.host}:{proxy.port}{url.path}?sslmode=disable"
        connection = await asyncpg.connect(through)
        assert await connection.fetchval("SELECT 1 + 1") == 2
        proxy.set(latency_to_client_s=LONG_S)
        query = asyncio.create_task(connection.fetchval("SELECT 3"))
        from_client = proxy.traffic.bytes_from_client
        await proxy.traffic.until(lambda traffic: traffic.bytes_from_client > from_client)
        await proxy.restart()
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
            await query
        proxy.set(latency_to_client_s=0)
        again = await asyncpg.connect(through)
        assert await again.fetchval("SELECT 3") == 3
        await again.close()
        await proxy.traffic.until(lambda traffic: traffic.open == 0)


async def test_as_a_process_it_is_steered_over_http() -> None:
    """Switches, cuts, resets, restarts and counts, each by one request; SIGINT ends it in order."""
    target = Target()
    await target.start()
    address = f"127.0.0.1:{target.port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.fault_proxy", "--target", address, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    host, port = (await process.stdout.readline()).decode().split()[-1].split(":")
    control = (await process.stdout.readline()).decode().split()[-1]
    try:
        async with httpx.AsyncClient(base_url=control) as steering:
            await assert_steered(steering, host, int(port))
    finally:
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
        target.stop()


async def assert_steered(control: httpx.AsyncClient, host: str, port: int) -> None:
    client = Client(*await asyncio.open_connection(host, port))
    changed = (await control.put("/", json={"latency_to_client_s": LONG_S, "refusing": True})).json()
    assert (changed["latency_to_client_s"], changed["refusing"]) == (LONG_S, True)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)
    await client.say(b"hello")
    counted = (await control.get("/", params={"bytes_from_target": 5})).json()
    assert (counted["bytes_to_target"], counted["bytes_to_client"], counted["open"]) == (5, 0, 1)
    await control.put("/", json={"latency_to_client_s": 0, "refusing": False})
    assert await client.hear(5) == b"hello"
    for order, end in (("/reset", "RST"), ("/cut", "FIN"), ("/restart", "FIN")):
        assert (await control.post(order)).status_code == 200
        assert await client.end() == end
        assert (await control.get("/", params={"open": 0})).json()["open"] == 0
        client = Client(*await asyncio.open_connection(host, port))
        await client.say(b"x")
        assert await client.hear(1) == b"x"
    client.writer.close()
    for method, path, body in (("PUT", "/", {"delay": 1}), ("PUT", "/", {"refusing": 1}), ("PUT", "/", [])):
        assert (await control.request(method, path, json=body)).status_code == 400
    assert (await control.get("/", params={"visitors": 1})).status_code == 400
    assert (await control.get("/", params={"accepted": 99, "timeout_s": 0.01})).status_code == 408
    assert (await control.post("/explode")).status_code == 404


async def test_a_process_without_a_readable_target_says_so() -> None:
    """An address is HOST:PORT."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.fault_proxy", "--target", "nowhere", stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"HOST:PORT, not 'nowhere'" in said
