"""A client that drops its connection at every event, and goes on at the other ingress replica."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from benchmarks.upstream import Directive
from tests.e2e.chaos.conftest import Site, direct_client
from tests.e2e.chaos.load import turn
from tests.e2e.chaos.operating import Operator, direct_url
from tests.e2e.chaos.sizes import chosen

pytestmark = pytest.mark.chaos

SIZES = chosen()
EVENTS = 300
AT_ONCE = 8

LONG = Directive(tokens=EVENTS + EVENTS // 3, token_s=0.02)
"""Where the machine is busy some tokens leave together."""
DONE = b"data: [DONE]\n\n"
END = b"\n\n"


@pytest_asyncio.fixture(loop_scope="session")
async def both(site: Site, client: httpx.AsyncClient, operator: Operator) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A client of each ingress replica, past the proxy."""
    urls = [direct_url(pid) for pid in sorted(await operator.replicas("ingress"))]
    async with direct_client(site, urls[0]) as one, direct_client(site, urls[1]) as other:
        yield [one, other]


def framed(body: bytes) -> list[bytes]:
    """Return the frames of an event stream, without its heartbeats."""
    assert body == b"" or body.endswith(END)
    return [frame + END for frame in body.split(END)[:-1] if not frame.startswith(b":")]


def id_of(frame: bytes) -> str:
    name, _, value = frame.partition(b"\n")[0].partition(b": ")
    assert name == b"id"
    return value.decode()


async def rest_of(client: httpx.AsyncClient, run_id: str, after: str) -> list[bytes]:
    """Read what follows an event, to the end. Nothing follows the last one."""
    response = await client.get(f"/runs/{run_id}/stream", headers={"last-event-id": after})
    assert response.status_code in (200, 204), response.text
    return framed(response.content)


async def test_behind_every_event(both: list[httpx.AsyncClient]) -> None:
    """What one replica has streamed up to an event, and the other from there on, is the stream: byte for byte."""
    one, other = both
    response = await one.post("/chat/stream", json=turn(LONG))
    run_id, whole = response.headers["x-run-id"], framed(response.content)
    *frames, done = whole
    assert done == DONE
    assert len(frames) >= EVENTS
    gate = asyncio.Semaphore(AT_ONCE)

    async def resume(index: int) -> None:
        async with gate:
            rest = await rest_of(other, run_id, id_of(frames[index]))
        # A client that has the last event knows that it is done.
        expected = whole[index + 1 :] if index < len(frames) - 1 else []
        assert rest == expected, f"behind event {index}"

    await asyncio.gather(*(resume(index) for index in {*range(0, len(frames), SIZES.resume_every), len(frames) - 1}))


async def test_while_it_goes_on(both: list[httpx.AsyncClient]) -> None:
    """A client that takes some events from one replica, then some from the other, and so on, has them all in the end."""
    taken: list[bytes] = []
    async with both[0].stream("POST", "/chat/stream", json=turn(LONG)) as response:
        run_id = response.headers["x-run-id"]
        async for frame in frames_of(response):
            taken.append(frame)
            break
    drops = 1
    while taken[-1] != DONE:
        seen = {"last-event-id": id_of(taken[-1])}
        async with both[drops % 2].stream("GET", f"/runs/{run_id}/stream", headers=seen) as response:
            assert response.status_code == 200, await response.aread()
            left = SIZES.resume_every
            async for frame in frames_of(response):
                taken.append(frame)
                left -= frame != DONE and b"event: run_completed" not in frame
                if left == 0:
                    break
        drops += 1
    assert taken == framed((await both[0].get(f"/runs/{run_id}/stream")).content)
    # Nobody reads from the agent any more, so its log has larger pieces than a stream. The last connection takes two frames.
    assert drops >= (len(taken) - 2) // SIZES.resume_every > 1


async def frames_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the frames of an open event stream, without its heartbeats."""
    rest = b""
    async for chunk in response.aiter_raw():
        *whole, rest = (rest + chunk).split(END)
        for frame in whole:
            if not frame.startswith(b":"):
                yield frame + END
