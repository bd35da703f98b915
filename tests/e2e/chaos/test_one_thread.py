"""Many at once on one thread, and under one Idempotency-Key: what was promised to each, and one writer at a time."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from benchmarks.upstream import Directive
from tests.e2e.chaos.checking import Checker
from tests.e2e.chaos.conftest import Site
from tests.e2e.chaos.database import Row, overlapping, runs_of
from tests.e2e.chaos.load import turn
from tests.e2e.chaos.resuming import Reading
from tests.e2e.chaos.sizes import chosen
from tests.e2e.chaos.story import Story
from tests.e2e.streams import Event, events_until_cut

pytestmark = pytest.mark.chaos

SIZES = chosen()

BRIEF = Directive(tokens=3)
LONG = Directive(tokens=2_000, token_s=0.02)
"""Longer than all submissions take together."""


@dataclass(slots=True)
class Submitted:
    """What one request came to: refused with a code, or a run and its story."""

    status: int
    code: str | None = None
    run_id: str = ""
    story: Story | None = None


async def submit(client: httpx.AsyncClient, body: dict[str, Any], **headers: str) -> Submitted:
    """Send one request and read it to its end."""
    async with client.stream("POST", "/chat/stream", json=body, headers=headers) as response:
        if response.status_code != 200:
            await response.aread()
            return Submitted(response.status_code, response.json()["error"]["code"])
        story = Story()
        async for event in events_until_cut(response):
            story.take(event)
        return Submitted(200, run_id=response.headers["x-run-id"], story=story)


async def thread_of(client: httpx.AsyncClient) -> str:
    """Begin a thread, with one turn that has ended."""
    first = await submit(client, turn(BRIEF))
    assert first.story is not None
    return str(first.story.events[0].data["thread_id"])


async def all_at_once(client: httpx.AsyncClient, thread_id: str, strategy: str, asked: Directive) -> list[Submitted]:
    """Submit so many turns to a thread at once."""
    body = turn(asked, thread_id=thread_id, multitask_strategy=strategy)
    return await asyncio.gather(*(submit(client, body) for _ in range(SIZES.submissions)))


def ends(submitted: list[Submitted]) -> Counter[str]:
    return Counter(each.story.end.name if each.story else f"{each.status} {each.code}" for each in submitted)


async def history(client: httpx.AsyncClient, thread_id: str) -> list[str]:
    """The roles of a thread's messages, in order, with a mark on those that are incomplete."""
    messages = (await client.get(f"/threads/{thread_id}/messages")).raise_for_status().json()["messages"]
    return [f"{message['role']}{'...' if message.get('incomplete') else ''}" for message in messages]


async def later_runs(site: Site, thread_id: str, count: int) -> list[Row]:
    """Return the runs after the thread's first one; there are just so many, and no two ran at the same time."""
    first, *later = await runs_of(site.served, thread_id)
    assert overlapping([first, *later]) == []
    assert len(later) == count
    return later


async def test_reject(site: Site, client: httpx.AsyncClient) -> None:
    """One is taken, all the others are told that the thread is busy, and leave no trace."""
    thread_id = await thread_of(client)
    refused: list[Submitted] = []

    async def attempt() -> Submitted:
        submitted = await submit(client, turn(LONG, thread_id=thread_id, multitask_strategy="reject"))
        refused.append(submitted)
        if len(refused) == SIZES.submissions - 1:  # only the one that runs is left
            [run] = [row for row in await runs_of(site.served, thread_id) if row.ended_at is None]
            (await client.post(f"/runs/{run.id}/cancel")).raise_for_status()
        return submitted

    submitted = await asyncio.gather(*(attempt() for _ in range(SIZES.submissions)))
    assert ends(submitted) == {"409 thread_busy": SIZES.submissions - 1, "run_cancelled": 1}
    await later_runs(site, thread_id, 1)


async def test_enqueue(site: Site, client: httpx.AsyncClient) -> None:
    """All are taken, one after the other, and each completes."""
    thread_id = await thread_of(client)
    submitted = await all_at_once(client, thread_id, "enqueue", BRIEF)
    assert ends(submitted) == {"run_completed": SIZES.submissions}
    await later_runs(site, thread_id, SIZES.submissions)
    assert await history(client, thread_id) == ["user", "assistant"] * (SIZES.submissions + 1)


async def test_interrupt(site: Site, client: httpx.AsyncClient) -> None:
    """Each stops those before it, so the last one is left; what the others had said stays, and is marked."""
    submitted, thread_id = await all_but_the_last_stopped(site, client, "interrupt")
    roles = await history(client, thread_id)
    assert roles.count("user") == SIZES.submissions + 1
    # Those that had not begun said nothing; where the one that is left stands among all these is anybody's guess.
    assert roles[:2] == ["user", "assistant"]
    assert "assistant..." in roles
    assert {each.story.end.data["reason"] for each in submitted if each.story} == {"next_turn", "requested"}


async def test_rollback(site: Site, client: httpx.AsyncClient) -> None:
    """Each stops those before it, so the last one is left; of the others nothing is."""
    _, thread_id = await all_but_the_last_stopped(site, client, "rollback")
    assert await history(client, thread_id) == ["user", "assistant", "user", "assistant..."]


async def all_but_the_last_stopped(site: Site, client: httpx.AsyncClient, strategy: str) -> tuple[list[Submitted], str]:
    """Submit turns that go on for long, cancel the one that is left once it speaks, and return all of them."""
    thread_id = await thread_of(client)
    body = turn(LONG, thread_id=thread_id, multitask_strategy=strategy)
    left = asyncio.Semaphore(0)

    async def attempt() -> Submitted:
        submitted = await submit(client, body)
        left.release()
        return submitted

    async with asyncio.TaskGroup() as group:
        attempts = [group.create_task(attempt()) for _ in range(SIZES.submissions)]
        for _ in range(SIZES.submissions - 1):
            await left.acquire()
        [run] = [row for row in await runs_of(site.served, thread_id) if row.ended_at is None]
        await until_speaking(client, str(run.id))
        (await client.post(f"/runs/{run.id}/cancel")).raise_for_status()
    submitted = [attempt.result() for attempt in attempts]
    assert ends(submitted) == {"run_cancelled": SIZES.submissions}
    later = await later_runs(site, thread_id, SIZES.submissions)
    assert {row.status for row in later} == {"cancelled"}
    return submitted, thread_id


async def until_speaking(client: httpx.AsyncClient, run_id: str) -> None:
    """Read a run up to its first text."""
    async with client.stream("GET", f"/runs/{run_id}/stream") as response:
        async for event in events_until_cut(response):
            if event.name == "text_delta":
                return
    raise AssertionError("the run has ended without a text")


async def test_one_key(site: Site, client: httpx.AsyncClient) -> None:
    """However many send the same request with the same key at once, there is one run, and all are told the same of it."""
    body = turn(Directive(tokens=40, token_s=0.02))
    headers = {"idempotency-key": "the one"}
    submitted = await asyncio.gather(*(submit(client, body, **headers) for _ in range(SIZES.identical)))
    assert ends(submitted) == {"run_completed": SIZES.identical}
    assert len({each.run_id for each in submitted}) == 1
    first: list[Event] = submitted[0].story.events if submitted[0].story else []
    assert all(each.story is not None and each.story.events == first for each in submitted)
    await runs_are(site, first[0].data["thread_id"], 1)
    reading = await Reading(client=client, body=body, key="the one").read()
    await Checker(site=site, client=client).check(reading)
    assert reading.story.events == first


async def runs_are(site: Site, thread_id: str, count: int) -> None:
    assert len(await runs_of(site.served, thread_id)) == count
