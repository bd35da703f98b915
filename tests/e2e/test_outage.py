"""Postgres is killed under load: the system says so, loses nothing silently, and heals without a restart."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from benchmarks.upstream import Directive
from tests.e2e.launching import Served
from tests.e2e.streams import ask, events

pytestmark = pytest.mark.chaos

STREAMS = 8


def replica_pids(served: Served) -> set[int]:
    """The processes of this cluster's replicas."""
    pids = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title, environ = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if b"ServeReplica" in title and str(served.home).encode() in environ:
            pids.add(int(process.name))
    return pids


async def until_ready(client: httpx.AsyncClient) -> None:
    """Ask `/readyz` until it says yes: a server under test has no event that we could wait for."""
    async with asyncio.timeout(60):
        while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_postgres_dies_under_load_and_nobody_restarts(served: Served, client: httpx.AsyncClient) -> None:
    """Streams in flight end with one terminal event, new runs are refused with 503 or served, and then all is well."""
    replicas = await asyncio.to_thread(replica_pids, served)
    question = Directive(tokens=150, token_s=0.02).in_message()
    all_speaking = asyncio.Barrier(STREAMS + 1)

    async def stream() -> str:
        body = {"messages": [{"role": "user", "content": question}]}
        async with client.stream("POST", "/chat/stream", json=body) as response:
            assert response.status_code == 200
            names: list[str] = []
            async for event in events(response):
                if event.name == "text_delta" and "text_delta" not in names:
                    await all_speaking.wait()
                names.append(event.name)
            return names[-1]

    streams = [asyncio.create_task(stream()) for _ in range(STREAMS)]
    await all_speaking.wait()
    postmaster = served.home / "postgres" / "postmaster.pid"
    os.kill(int((await asyncio.to_thread(postmaster.read_text)).splitlines()[0]), signal.SIGKILL)

    response = await client.post("/chat/stream", json={"messages": [{"role": "user", "content": "hello"}]})
    assert response.status_code in {200, 503}
    if response.status_code == 503:
        assert response.json()["error"]["code"] == "store_unavailable"
        assert "retry-after" in response.headers
    ends = await asyncio.gather(*streams)
    assert set(ends) <= {"run_completed", "run_failed"}

    await until_ready(client)
    assert (await ask(client, "hello again"))[-1].name == "run_completed"
    assert await asyncio.to_thread(replica_pids, served) == replicas
