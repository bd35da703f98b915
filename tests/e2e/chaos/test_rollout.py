"""A new version, and fewer replicas, under streams that go on all the while: no run fails, and none begins anew."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import httpx
import pytest

from benchmarks.serve_api import with_replicas
from tests.e2e.chaos.checking import Checker
from tests.e2e.chaos.conftest import REPLICAS, Site
from tests.e2e.chaos.load import Asked, asked_at
from tests.e2e.chaos.operating import Operator, with_settings
from tests.e2e.chaos.resuming import Reading
from tests.e2e.chaos.sizes import chosen
from tests.e2e.chaos.tally import Tally

pytestmark = pytest.mark.chaos

SIZES = chosen()
MORE = 3

Streams = list[tuple[Asked, Reading]]


@asynccontextmanager
async def under_streams(client: httpx.AsyncClient, dice: Random, label: str) -> AsyncIterator[Streams]:
    """Keep so many streams open, each followed by the next one, until the block has been left; the list has them all then."""
    streams: Streams = []
    begun: set[str] = set()
    all_begun, enough = asyncio.Event(), asyncio.Event()

    def look(reading: Reading) -> None:
        begun.add(reading.key)
        if len(begun) >= SIZES.rollout_streams:
            all_begun.set()

    async def keep_asking(worker: int) -> None:
        turns = 0
        while not enough.is_set():
            asked = asked_at(dice, worker + turns, f"{label}-{worker}-{turns}")
            reading = Reading(client=client, body=asked.body, on_event=look)
            streams.append((asked, reading))
            await reading.read()
            turns += 1

    async with asyncio.TaskGroup() as workers:
        for worker in range(SIZES.rollout_streams):
            workers.create_task(keep_asking(worker))
        await all_begun.wait()
        yield streams
        enough.set()


async def check_all(streams: Streams, site: Site, client: httpx.AsyncClient, tally: Tally) -> None:
    """Every run completed, in its first attempt."""
    checker = Checker(site=site, client=client)
    tally.times += 1
    for _, reading in streams:
        tally.add(reading)
        if reading.breaks:
            print(f"run {reading.run_id}: {reading.breaks}")
    failed = [
        (reading.run_id, reading.story.end) for _, reading in streams if reading.story.end.name != "run_completed"
    ]
    assert not failed, failed
    assert not any(reading.story.restarts for _, reading in streams)
    for _, reading in streams:
        await checker.check(reading)
    await checker.check_effects([call for asked, _ in streams for call in asked.calls])


async def test_a_new_version(
    site: Site, client: httpx.AsyncClient, operator: Operator, dice: Random, tallies: dict[str, Tally]
) -> None:
    """Every replica is replaced; the streams that it has end there, and the next ones are the new replicas'."""
    before = {*await operator.replicas("ingress"), *await operator.replicas("agent")}
    application = await operator.api.config()
    async with under_streams(client, dice, "deploy") as streams:
        await operator.api.deploy(with_settings(application, "http", heartbeat_s=dice.uniform(10.0, 20.0)))
        await operator.until_whole(without=before, ingress=REPLICAS, agent=REPLICAS)
    await check_all(streams, site, client, tallies.setdefault("`serve deploy`", Tally()))


async def test_fewer_agents(
    site: Site, client: httpx.AsyncClient, operator: Operator, dice: Random, tallies: dict[str, Tally]
) -> None:
    """Two of three agent replicas go, and let their streams end first."""
    application = await operator.api.config()
    await operator.api.deploy(with_replicas(application, "agent", MORE))
    await operator.until_whole(agent=MORE)
    try:
        async with under_streams(client, dice, "downscale") as streams:
            await operator.api.deploy(with_replicas(application, "agent", 1))
            await operator.until_whole(agent=1)
        await check_all(streams, site, client, tallies.setdefault("agents 3 to 1", Tally()))
    finally:
        await operator.api.deploy(with_replicas(application, "agent", REPLICAS))
