"""A client that leaves: the provider is stopped, the record is kept, nothing is left behind."""

import asyncio

import httpx

from benchmarks.upstream import Directive, Upstream
from tests.e2e.spending import settled
from tests.e2e.streams import Event, ask, events

LONG = Directive(tokens=2_000, token_s=0.02)


async def leave_after_text(client: httpx.AsyncClient, **more: object) -> Event:
    """Ask for a long answer, leave at its first words, and return the run_started event."""
    body = {"messages": [{"role": "user", "content": LONG.in_message()}], **more}
    async with client.stream("POST", "/chat/stream", json=body) as response:
        seen: list[Event] = []
        async for event in events(response):
            seen.append(event)
            if event.name == "text_delta":
                return seen[0]
    raise AssertionError("no text came")


async def status_of(client: httpx.AsyncClient, run_id: str, wanted: str) -> dict[str, object]:
    """Ask until the run has the wanted status; the test's own time limit bounds it."""
    async with asyncio.timeout(10):
        while True:
            run: dict[str, object] = (await client.get(f"/runs/{run_id}")).json()
            if run["status"] == wanted:
                return run


async def test_a_hang_up_stops_the_provider_within_a_second(client: httpx.AsyncClient, upstream: Upstream) -> None:
    """The upstream sees its connection close, the run is recorded as cancelled, and the tokens so far are billed and spent."""
    before = await settled(client)
    started = await leave_after_text(client)
    await upstream.seen.until(lambda seen: seen.closed == 1 and seen.open == 0, timeout_s=1.0)
    run = await status_of(client, started.data["run_id"], "cancelled")
    usage = run["usage"]
    assert isinstance(usage, dict)
    assert usage["output_tokens"] > 0
    assert usage["estimated"] is True
    spent = await settled(client)
    assert spent["tokens"] - before["tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_the_thread_is_free_after_a_hang_up(client: httpx.AsyncClient) -> None:
    """The next turn of the thread is answered, and the partial answer is in the history."""
    started = await leave_after_text(client)
    await status_of(client, started.data["run_id"], "cancelled")
    thread_id = started.data["thread_id"]
    received = await ask(client, "and now?", thread_id=thread_id)
    assert received[-1].name == "run_completed"
    history = (await client.get(f"/threads/{thread_id}/messages")).json()["messages"]
    assert [message["role"] for message in history] == ["user", "assistant", "user", "assistant"]


async def test_a_run_that_is_to_continue_ends_by_itself(client: httpx.AsyncClient, upstream: Upstream) -> None:
    """With `on_disconnect: continue` the upstream is read to its end and the whole answer is stored."""
    question = Directive(tokens=60, token_s=0.02).in_message()
    body = {"messages": [{"role": "user", "content": question}], "on_disconnect": "continue"}
    async with client.stream("POST", "/chat/stream", json=body) as response:
        started = await anext(events(response))
    await upstream.seen.until(lambda seen: seen.completed == 1, timeout_s=10.0)
    run = await status_of(client, started.data["run_id"], "completed")
    assert isinstance(run["usage"], dict)
    assert run["usage"]["output_tokens"] == 60
    assert upstream.seen.closed == 0


async def test_many_hang_ups_leave_nothing_behind(client: httpx.AsyncClient, upstream: Upstream) -> None:
    """Twenty clients leave at once: every connection to the provider closes, and the next question is answered."""
    await asyncio.gather(*(leave_after_text(client) for _ in range(20)))
    await upstream.seen.until(lambda seen: seen.open == 0, timeout_s=5.0)
    assert upstream.seen.closed == 20
    assert (await ask(client, "still there?"))[-1].name == "run_completed"
