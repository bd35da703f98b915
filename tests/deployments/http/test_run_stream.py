"""`GET /runs/{run_id}/stream`: a run is read again, or on, from any event and at any replica, in the same bytes."""

import asyncio
import logging
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deployments.protocols.chat_stream import DONE
from services.errors import AgentLost
from services.events import ReasoningDelta, RunCompleted, RunRestarted, RunStarted, TextDelta, ToolFinished, ToolStarted
from services.types import EventId, RunStatus, Usage
from tests.deployments.http.fakes import OTHER_KEY, Rig
from tests.deployments.http.refusals import check
from tests.deployments.http.scripted_agent import COMPLETED

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello."}]}
LONG = (
    ReasoningDelta(text="hm"),
    TextDelta(text="one "),
    ToolStarted(call_id="c1", name="calculator", arguments='{"e":"2*2"}'),
    ToolFinished(call_id="c1", name="calculator", ok=True, result='"4"\n', duration_s=1 / 3),
    TextDelta(text="two\n\ndata: [DONE]\n\n"),
    TextDelta(text="three", source="writer"),
    RunCompleted(finish_reason="stop", usage=Usage(input_tokens=7), duration_s=0.1 + 0.2),
)


def frames(body: bytes) -> list[bytes]:
    """Every frame of a stream, with its end."""
    return [frame + b"\n\n" for frame in body.split(b"\n\n")[:-1]]


async def ask(client: httpx.AsyncClient, **more: object) -> httpx.Response:
    response = await client.post("/chat/stream", json=ASK | more)
    assert response.status_code == 200
    return response


async def resume(client: httpx.AsyncClient, run_id: str, last: str | None) -> httpx.Response:
    return await client.get(f"/runs/{run_id}/stream", headers={} if last is None else {"last-event-id": last})


async def test_a_replay_has_the_bytes_of_the_stream_from_every_event_on() -> None:
    """Whichever event a client has seen last, the rest and it are what was streamed; who has the last gets nothing."""
    rig = Rig()
    rig.agent.steps = LONG
    async with rig.client() as client:
        streamed = await ask(client)
        run_id, parts = streamed.headers["x-run-id"], frames(streamed.content)
        assert parts[-1] == DONE
        assert len(parts) == len(LONG) + 2
        for seen in range(len(parts) - 2):
            rest = await resume(client, run_id, f"1-{seen}")
            assert rest.status_code == 200
            assert b"".join(parts[: seen + 1]) + rest.content == streamed.content
        for last in (None, "", "-1"):
            assert (await resume(client, run_id, last)).content == streamed.content
        over = await resume(client, run_id, f"1-{len(parts) - 2}")
    assert (over.status_code, over.content) == (204, b"")


async def test_a_replay_says_what_the_stream_said_of_the_run() -> None:
    """The headers are the same, on any replica that stands on the same store."""
    rig = Rig()
    async with rig.client() as client, Rig(other=rig).client() as elsewhere:
        streamed = await ask(client)
        replayed = await resume(elsewhere, streamed.headers["x-run-id"], None)
    assert replayed.content == streamed.content
    for name in ("x-run-id", "x-thread-id", "content-location", "content-type", "cache-control", "x-accel-buffering"):
        assert replayed.headers[name] == streamed.headers[name]


async def test_a_run_that_goes_on_is_read_on() -> None:
    """A client that lost its connection comes back while the run is at work, to another replica, and misses nothing."""
    rig = Rig()
    gate = asyncio.Event()
    rig.agent.steps = (TextDelta(text="Hel"), gate, TextDelta(text="lo"), COMPLETED)
    async with rig.client() as client, Rig(other=rig).client() as elsewhere:
        asking = asyncio.create_task(ask(client))
        await rig.agent.waiting.wait()
        run_id = str(rig.all_runs[0].id)
        resuming = asyncio.create_task(resume(elsewhere, run_id, "1-0"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not resuming.done()
        gate.set()
        streamed, resumed = await asking, await resuming
    assert frames(streamed.content)[0] + resumed.content == streamed.content


async def test_who_reads_along_and_leaves_cancels_nothing() -> None:
    """The run is somebody else's to hang up."""
    rig = Rig()
    gate = asyncio.Event()
    rig.agent.steps = (TextDelta(text="Hel"), gate, COMPLETED)
    async with rig.client() as client:
        asking = asyncio.create_task(ask(client))
        await rig.agent.waiting.wait()
        reading = asyncio.create_task(resume(client, str(rig.all_runs[0].id), None))
        for _ in range(20):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        gate.set()
        assert (await asking).content.endswith(DONE)
    assert rig.cancels == []


@pytest.mark.parametrize("keep", [None, EventId(attempt=1, seq=1)], ids=["from the start", "from a checkpoint"])
async def test_an_agent_that_is_lost_is_seen_as_a_restart(keep: EventId | None) -> None:
    """The stream goes on with what another replica says, behind an event that tells what is void; a replay has it too."""
    rig = Rig()
    started = () if keep else (RunStarted(run_id=uuid4(), thread_id=uuid4(), graph="react", attempt=2),)
    rig.agent.steps = (
        TextDelta(text="Hel"),
        AgentLost("killed"),
        RunRestarted(attempt=2, keep=keep),
        *started,
        TextDelta(text="lo" if keep else "Hello"),
        COMPLETED,
    )
    async with rig.client() as client:
        streamed = await ask(client)
        replayed = await resume(client, streamed.headers["x-run-id"], None)
        unstored = await resume(client, streamed.headers["x-run-id"], "1-7")
        shown = (await client.get(streamed.headers["content-location"])).json()
    said = b'id: 2-0\nevent: restarted\ndata: {"attempt":2,"from":%b}\n\n' % (b'"1-1"' if keep else b"null")
    assert frames(streamed.content)[2] == said
    assert streamed.content.endswith(DONE)
    assert replayed.content == streamed.content
    assert unstored.content == b"".join(frames(streamed.content)[2:])
    assert (shown["status"], shown["attempt"]) == ("completed", 2)
    assert rig.row(shown["id"]).answer[0].content == "Hello"


async def test_a_run_without_a_stored_end_is_ended_by_its_record() -> None:
    """Whoever ended it wrote no event: its reader gets one all the same, and the same one again."""
    rig = Rig()
    async with rig.client() as client:
        run_id = (await client.post("/runs", json=ASK)).json()["run_id"]
        assert (await client.post(f"/runs/{run_id}/cancel")).json()["status"] == "cancelled"
        ended = [await resume(client, run_id, last) for last in (None, None, "1-0")]
    assert ended[0].content.startswith(b'id: 1-0\nevent: run_cancelled\ndata: {"reason":"requested"')
    assert ended[1].content == ended[0].content
    assert ended[2].status_code == 204


@pytest.mark.parametrize(
    "last", ["1", "1-", "-2", "1-x", "0x1-1", "1-1-1", "1.5-1", "1-1 2", "1-99999999999999", "9999999-1", "١-1", "*"]
)
async def test_an_event_id_that_is_none_is_refused(rig: Rig, last: str) -> None:
    """It would be somebody else's header, or a bug: nothing is sent that the client might take for the rest."""
    async with rig.client() as client:
        response = await client.get(f"/runs/{uuid4()}/stream", headers={b"last-event-id": last.encode()})
    check(response, 400, "last-event-id", "invalid_request")


async def test_a_run_that_is_erased_while_it_is_read_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    """There is no end to tell of: the stream ends without [DONE], and coming back is a 404. It is nobody's bug."""
    caplog.set_level(logging.INFO)
    rig = Rig()
    gate = asyncio.Event()
    rig.agent.steps = (TextDelta(text="Hel"), gate, COMPLETED)
    async with rig.client() as client:
        run_id = (await client.post("/runs", json=ASK)).json()["run_id"]
        working = asyncio.create_task(rig.agent.work())
        await rig.agent.waiting.wait()
        reading = asyncio.create_task(resume(client, run_id, None))
        for _ in range(20):
            await asyncio.sleep(0)
        row = rig.store.tables.runs.pop(rig.all_runs[0].id)
        cut = await reading
        assert (await resume(client, run_id, "1-1")).status_code == 404
    assert b"Hel" in cut.content
    assert DONE not in cut.content
    assert "cannot be read on: not_found" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    rig.store.tables.runs[row.run.id] = row
    gate.set()
    await working
    assert row.run.status is RunStatus.COMPLETED


async def test_another_tenants_run_cannot_be_read() -> None:
    """The answer is that of a run that never was, to the byte but for its id."""
    rig = Rig()
    async with rig.client() as client, rig.client({"authorization": f"Bearer {OTHER_KEY}"}) as stranger:
        run_id = (await ask(client)).headers["x-run-id"]
        nobodys = str(uuid4())
        theirs, none = [await resume(stranger, which, None) for which in (run_id, nobodys)]
    assert (theirs.status_code, none.status_code) == (404, 404)
    ours, theirs_body = none.json()["error"], theirs.json()["error"]
    assert {**theirs_body, "request_id": ""} == {
        **ours,
        "request_id": "",
        "message": ours["message"].replace(nobodys, run_id),
    }
