"""The wall clock jumps while Mainstay serves. Nothing waits by it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import pytest

from benchmarks.upstream import Directive
from tests.e2e.faults.conftest import HEALTHY, HOSTILE, Site, until_all_go_to_the_first, until_state
from tests.e2e.faults.looking import look, question, record_of, streaming
from tests.e2e.faults.rows import Part, Row, proves
from tests.e2e.inside.sitecustomize import OFFSET

HOUR_S = 3_600.0
STREAMS = 5
STEADY = Directive(tokens=250, token_s=0.02)

OUTAGE = Directive(fault="status_503_wait", retry_after_s=4.0)
"""Opens the breaker for so long that the clock can jump meanwhile."""

ASK_THE_TIME = Directive(tool_calls=({"name": "wall_clock", "arguments": {}},))


@pytest.fixture
def right_again(site: Site) -> Iterator[None]:
    """Whatever a test did to it, the clock is right afterwards."""
    yield
    site.clock.write_bytes(OFFSET.pack(0.0))


@proves(
    *(
        Row(
            part=Part.OURS,
            rows="28",
            fault=f"the wall clock jumps an hour {way}",
            client="a whole answer",
            record="completed",
            breaker="an open one closes when its own time is over",
            attempts="none while it is open",
        )
        for way in ("ahead", "back")
    )
)
@pytest.mark.usefixtures("right_again")
@pytest.mark.parametrize("off_s", [HOUR_S, -HOUR_S], ids=["ahead", "back"])
async def test_the_clock_jumps(off_s: float, site: Site, client: httpx.AsyncClient) -> None:
    """Streams go on to their end, an open breaker stays open for its own time and no longer, and new runs work."""
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(streaming(client, STEADY)) for _ in range(STREAMS)]
        site.primary.default = OUTAGE
        await asyncio.gather(*(look(client, "hello") for _ in range(8)))
        await until_state(client, "primary", "open")
        site.primary.seen.clear()
        site.secondary.seen.clear()

        assert site.primary.seen.open == STREAMS
        with site.clock.open("r+b") as clock:
            clock.write(OFFSET.pack(off_s))
        site.primary.default = HEALTHY
        views = await asyncio.gather(*(look(client, "hello") for _ in range(STREAMS)))
        assert all(view.answered for view in views)
        assert (site.primary.seen.received, site.secondary.seen.received) == (0, STREAMS)
        await assert_off_by(off_s, client)
        assert {(await stream.end()).name for stream in streams} == {"run_completed"}
    assert {(await record_of(client, stream.run_id))["status"] for stream in streams} == {"completed"}

    await until_all_go_to_the_first(site, client)
    await until_state(client, "primary", "closed")


async def assert_off_by(off_s: float, client: httpx.AsyncClient) -> None:
    """The clocks of both replicas have jumped, or all of this proves nothing."""
    told = await look(client, ASK_THE_TIME.in_message(), model=HOSTILE)
    [finished] = [event for event in told.received if event.name == "tool_finished"]
    whole = await client.post("/v1/chat/completions", json=question("hello", model="react"))
    for clock in (float(finished.data["result"]), whole.json()["created"]):
        assert abs(clock - time.time() - off_s) < HOUR_S / 2
