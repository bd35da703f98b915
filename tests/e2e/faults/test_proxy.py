"""HAProxy is killed: its streams end with it, everything behind it lives on."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import httpx
import pytest

from benchmarks.upstream import Directive
from tests.e2e.faults.conftest import Site, states
from tests.e2e.faults.looking import kept_of, look, processes, record_of, serving, streaming
from tests.e2e.faults.rows import Part, Row, proves

pytestmark = pytest.mark.chaos

STREAMS = 5
LONG = Directive(tokens=500, token_s=0.02)


@proves(
    Row(
        part=Part.OURS,
        rows="20",
        fault="the proxy is killed",
        client="a connection that breaks before `[DONE]`; for some seconds no connection, or 404",
        record="cancelled, with the text so far",
        breaker="closed",
        attempts="1, closed",
    )
)
async def test_the_proxy_is_killed(site: Site, client: httpx.AsyncClient) -> None:
    """Five streams break, their runs end and their providers are left; a new proxy serves, with the replicas as they were."""
    before = await asyncio.to_thread(serving, site.served)
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(streaming(client, LONG)) for _ in range(STREAMS)]
        for pid in await asyncio.to_thread(processes, site.served, "haproxy"):
            os.kill(pid, signal.SIGKILL)
        ends = await asyncio.gather(*(stream.end() for stream in streams), return_exceptions=True)
    assert all(isinstance(end, httpx.TransportError) for end in ends), ends
    await site.primary.seen.until(lambda seen: seen.open == 0)
    assert site.primary.seen.closed == STREAMS
    await until_answering(client)
    for stream in streams:
        run = await record_of(client, stream.run_id)
        assert run["status"] == "cancelled"
        assert await kept_of(client, run)
    assert (await states(client))["primary"] == "closed"
    assert await asyncio.to_thread(serving, site.served) == before


async def until_answering(client: httpx.AsyncClient) -> None:
    """Ask until there is an answer."""
    async with asyncio.timeout(60):
        while True:
            try:
                if (await look(client, "hello")).answered:
                    return
            except (httpx.TransportError, ValueError):  # nobody there, or a new proxy that knows no replicas yet
                pass
            await asyncio.sleep(0.2)
