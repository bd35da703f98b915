"""Clients that leave, that do not read, that give little time: nobody else's matter, and no fault of the provider."""

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from benchmarks.upstream import Directive
from tests.e2e.faults.conftest import Site, states
from tests.e2e.faults.looking import kept_of, look, memory, question, record_of, streaming
from tests.e2e.faults.rows import Part, Row, proves
from tests.e2e.faults.slow_reader import slow_reader

LONG = Directive(tokens=500, token_s=0.02)
SHORT = Directive(tokens=8)
SILENT = Directive(fault="no_first_token")

HANG_UPS = 20
SLOW_READERS = 3
OTHERS = 20

PIECES = tuple(f"{number:06d} {chr(0x1F600) * 3_500}" for number in range(1_000))
"""14 MB, as much as the limits of an answer allow. A plan and its first step are twice that: the sockets and proxies on the way
to a client take up some 14 MB before anybody has to wait for it."""

MEMORY_BYTES = 150_000_000
"""What the slow readers together may cost in the replicas: less than one copy of the plan, the step and the answer that each of
them was to be sent, which Python keeps in four bytes a letter and hands on in several copies."""


@proves(
    Row(
        part=Part.CLIENT,
        rows="5",
        fault="leaves in the middle of its answer",
        client="",
        record="cancelled, with the text so far; its tokens are billed",
        breaker="closed, after any number of them",
        attempts="1, closed within 1 s",
    )
)
async def test_hang_ups_in_the_middle(site: Site, client: httpx.AsyncClient) -> None:
    """Twenty clients in a row leave: each upstream connection closes within a second, and the next ten are answered."""
    runs = []
    for _ in range(HANG_UPS):
        async with streaming(client, LONG) as stream:
            runs.append(stream.run_id)
        await site.primary.seen.until(lambda seen: seen.open == 0, timeout_s=1.0)
    assert (site.primary.seen.received, site.secondary.seen.received) == (HANG_UPS, 0)
    assert site.primary.seen.closed == HANG_UPS
    for run_id in runs:
        run = await record_of(client, run_id)
        assert (run["status"], run["error"]) == ("cancelled", None)
        assert run["usage"]["output_tokens"] > 0
        assert await kept_of(client, run)
    await assert_all_well(site, client)


@proves(
    Row(
        part=Part.CLIENT,
        rows="5",
        fault="leaves before its first text",
        client="",
        record="cancelled",
        breaker="closed, after any number of them",
        attempts="1, closed within two heartbeats (`http.heartbeat_s`): HAProxy says nothing while nothing is sent",
    )
)
async def test_hang_ups_before_the_first_text(site: Site, client: httpx.AsyncClient) -> None:
    """Twenty clients leave a provider that has not answered yet: that is no verdict on it."""

    async def leave() -> str:
        async with streaming(client, SILENT, until="run_started") as stream:
            return stream.run_id

    runs = await asyncio.gather(*(leave() for _ in range(HANG_UPS)))
    await site.primary.seen.until(lambda seen: seen.open == 0, timeout_s=1.0)
    assert (site.primary.seen.closed, site.secondary.seen.received) == (HANG_UPS, 0)
    assert {(await record_of(client, run_id))["status"] for run_id in runs} == {"cancelled"}
    await assert_all_well(site, client)


async def assert_all_well(site: Site, client: httpx.AsyncClient) -> None:
    """Every place is free, and the first provider has all traffic."""
    site.primary.seen.clear()
    assert all(view.answered for view in await asyncio.gather(*(look(client, "hello") for _ in range(10))))
    assert (site.primary.seen.received, site.secondary.seen.received) == (10, 0)
    assert (await states(client))["primary"] == "closed"


@proves(
    Row(
        part=Part.CLIENT,
        rows="23",
        fault="reads nothing any more of a long, fast answer",
        client="what it had been sent, cut off after `http.write_timeout_s`; all others as ever",
        record="cancelled",
        breaker="closed",
        attempts="1, closed",
    )
)
async def test_slow_readers(site: Site, client: httpx.AsyncClient) -> None:
    """Three clients stop reading: the model has to wait for them, nobody else has to, and then they are cut off."""
    site.primary.default = Directive(chunks=("1. Tell it.\n", *PIECES))
    before = await asyncio.to_thread(memory, site.served)
    async with AsyncExitStack() as stack:
        asked = [slow_reader(site.served, "a long story", model="plan_execute") for _ in range(SLOW_READERS)]
        slow = await asyncio.gather(*map(stack.enter_async_context, asked))
        others = await asyncio.gather(*(look(client, SHORT.in_message()) for _ in range(OTHERS)))
        assert all(view.answered for view in others)
        grown = await asyncio.to_thread(memory, site.served) - before
        assert grown < MEMORY_BYTES
        assert {(await record_of(client, reader.run_id))["status"] for reader in slow} == {"cancelled"}
        await site.primary.seen.until(lambda seen: seen.open == 0)
        rests = await asyncio.gather(*(reader.rest() for reader in slow))
    assert not any(b"[DONE]" in rest or b"run_completed" in rest for rest in rests)
    assert (await states(client))["primary"] == "closed"


@proves(
    Row(
        part=Part.CLIENT,
        rows="4",
        fault="gives its turn a `timeout_s` that passes while a provider is silent",
        client="504 `deadline_exceeded`, or as an event where the stream has begun",
        record="failed, `deadline_exceeded`",
        breaker="closed",
        attempts="1, closed",
    )
)
@pytest.mark.parametrize("path", ["/chat/stream", "/v1/chat/completions"])
async def test_a_clients_deadline(path: str, site: Site, client: httpx.AsyncClient) -> None:
    """The turn ends when its client said, whoever is late, and its provider is left."""
    body = question(SILENT.in_message(), timeout_s=1.0, **({"model": "react"} if "v1" in path else {}))
    if path == "/chat/stream":
        view = await look(client, SILENT.in_message(), timeout_s=1.0)
        assert (view.status, view.code, view.error["next"]) == (200, "deadline_exceeded", "change")
        run_id = view.run_id
    else:
        response = await client.post(path, json=body)
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["next"]) == (504, "deadline_exceeded", "change")
        run_id = response.headers["x-run-id"]
    run = await record_of(client, run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "deadline_exceeded")
    await site.primary.seen.until(lambda seen: seen.open == 0)
    assert (site.primary.seen.closed, site.secondary.seen.received) == (1, 0)
    assert (await states(client))["primary"] == "closed"
