"""Runs that are not streamed: queued, waited for, looked at, cancelled, and one behind another in a thread."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.errors import AgentLost, Overloaded
from services.events import RunCancelled, RunInterrupted, RunRestarted, TextDelta
from services.types import CancelAction, EventId, Interruption, RunStatus, Usage
from tests.deployments.http.fakes import OTHER_KEY, Rig
from tests.deployments.http.refusals import QUEUED, WAITED, check
from tests.deployments.http.scripted_agent import COMPLETED

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello."}]}
USAGE = {
    "input_tokens": 7,
    "output_tokens": 3,
    "cached_tokens": 0,
    "reasoning_tokens": 0,
    "model_calls": 0,
    "estimated": False,
}
QUESTION = Interruption(id="i1", value={"action_requests": [{"name": "send_email", "args": {"to": "eve"}}]})


async def queue(client: httpx.AsyncClient, **more: object) -> str:
    response = await client.post(QUEUED, json=ASK | more)
    assert response.status_code == 202, response.text
    run_id: str = response.json()["run_id"]
    return run_id


# --- POST /runs -------------------------------------------------------------------------------------------------------


async def test_a_background_run_is_taken_in_and_found_again() -> None:
    """The 202 says where: in its headers as every run does, and in its body; nobody runs it for its client to wait."""
    rig = Rig()
    async with rig.client() as client:
        response = await client.post(QUEUED, json=ASK | {"model": "planner", "priority": 0})
        [run] = rig.all_runs
        assert response.status_code == 202
        assert response.json() == {
            "run_id": str(run.id),
            "thread_id": str(run.thread_id),
            "model": "planner",
            "status": "queued",
        }
        assert response.headers["content-location"] == f"/runs/{run.id}"
        assert (response.headers["x-run-id"], response.headers["x-thread-id"]) == (str(run.id), str(run.thread_id))
        assert (run.background, run.priority, rig.agent.executing.is_set()) == (True, 0, False)
        waiting = (await client.get(f"/runs/{run.id}")).json()
        await rig.agent.work()
        ended = (await client.get(f"/runs/{run.id}")).json()
        said = (await client.get(f"/threads/{run.thread_id}/messages")).json()["messages"]
    assert (waiting["status"], waiting["position"], waiting["attempt"]) == ("queued", 0, 0)
    assert (ended["status"], ended["position"], ended["attempt"]) == ("completed", None, 1)
    assert (ended["finish_reason"], ended["usage"], ended["interrupts"]) == ("stop", USAGE, [])
    assert said[-1] == {"role": "assistant", "content": "Hello"}


async def test_a_queued_run_shows_its_place() -> None:
    """How many would be taken before it; the lowest priority goes first, and 5 is what it has if it does not say."""
    rig = Rig()
    async with rig.client() as client:
        ids = [
            await queue(client),
            await queue(client),
            await queue(client, priority=4),
            await queue(client, priority=6),
        ]
        places = [(await client.get(f"/runs/{run_id}")).json()["position"] for run_id in ids]
    assert places == [1, 2, 0, 3]


async def test_a_webhook_is_stored_with_its_run() -> None:
    """On each of our own routes."""
    rig = Rig()
    url = "https://hooks.example/run"
    async with rig.client() as client:
        await queue(client, webhook_url=url)
        await client.post(WAITED, json=ASK | {"webhook_url": url})
        await client.post("/chat/stream", json=ASK | {"webhook_url": url})
    assert set(rig.store.webhooks.rows) == {run.id for run in rig.all_runs}


async def test_a_blocked_background_run_is_a_400() -> None:
    """It is refused while its client is there to be told."""
    rig = Rig()
    async with rig.client() as client:
        response = await client.post(QUEUED, json={"messages": [{"role": "user", "content": "forbidden"}]})
    check(response, 400, "messages", "content_blocked")
    assert [run.status for run in rig.all_runs] == [RunStatus.FAILED]


# --- POST /runs/wait --------------------------------------------------------------------------------------------------


async def test_a_run_that_is_waited_for_is_one_document() -> None:
    """All of the answer, how it ended, and what it took."""
    rig = Rig()
    async with rig.client() as client:
        response = await client.post(WAITED, json=ASK)
    [run] = rig.all_runs
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.headers["x-run-id"] == str(run.id)
    assert response.json() == {
        "run_id": str(run.id),
        "thread_id": str(run.thread_id),
        "model": "react",
        "text": "Hello",
        "status": "completed",
        "finish_reason": "stop",
        "interrupts": [],
        "usage": USAGE,
        "duration_s": 0.5,
    }


async def test_a_question_is_how_a_run_may_end() -> None:
    """It is an answer, with what is asked; the run shows it too, and the thread is free for the decision."""
    rig = Rig()
    rig.agent.steps = (
        TextDelta(text="Let me see."),
        RunInterrupted(interrupts=(QUESTION,), usage=Usage(), duration_s=0.5),
    )
    async with rig.client() as client:
        response = await client.post(WAITED, json=ASK)
        answer = response.json()
        shown = (await client.get(f"/runs/{answer['run_id']}")).json()
        rig.agent.steps = (TextDelta(text="Sent."), COMPLETED)
        decision = {"thread_id": answer["thread_id"], "decisions": [{"type": "approve"}]}
        done = (await client.post(WAITED, json=decision)).json()
    assert (response.status_code, answer["status"], answer["finish_reason"]) == (200, "interrupted", None)
    assert answer["interrupts"] == shown["interrupts"] == [{"id": "i1", "value": QUESTION.value}]
    assert (answer["text"], shown["status"]) == ("Let me see.", "interrupted")
    assert (done["text"], done["status"], done["thread_id"]) == ("Sent.", "completed", answer["thread_id"])
    assert rig.all_runs[-1].decisions == ({"type": "approve"},)
    assert rig.all_runs[-1].messages == ()


@pytest.mark.parametrize("path", [WAITED, "/v1/chat/completions"])
async def test_a_whole_answer_has_nothing_that_was_taken_back(path: str) -> None:
    """An agent was lost in the middle of it: what it had said, and what is void, is not in the document."""
    rig = Rig()
    rig.agent.steps = (
        TextDelta(text="I think", source="planner"),
        TextDelta(text="Goodb"),
        AgentLost("killed"),
        RunRestarted(attempt=2, keep=None),
        TextDelta(text="Hello"),
        COMPLETED,
    )
    async with rig.client() as client:
        response = await client.post(path, json=ASK | {"model": "react"})
    assert response.status_code == 200
    answer = response.json()
    text = answer["text"] if path == WAITED else answer["choices"][0]["message"]["content"]
    assert text == "Hello"
    assert "I think" not in response.text


async def test_a_whole_answer_has_all_that_was_kept() -> None:
    """Another agent goes on behind the last checkpoint: what was said up to that is part of the answer."""
    rig = Rig()
    rig.agent.steps = (
        TextDelta(text="Hel"),
        TextDelta(text="met"),
        AgentLost("killed"),
        RunRestarted(attempt=2, keep=EventId(attempt=1, seq=1)),
        TextDelta(text="lo"),
        COMPLETED,
    )
    async with rig.client() as client:
        assert (await client.post(WAITED, json=ASK)).json()["text"] == "Hello"


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        (Overloaded("Full."), 503, "overloaded"),
        (RunCancelled(reason="requested", usage=Usage(), duration_s=0.1), 409, "run_cancelled"),
    ],
)
async def test_a_run_that_fails_is_a_status(end: Overloaded | RunCancelled, status: int, code: str) -> None:
    """With no part of an answer, and with the id under which it can be looked up."""
    rig = Rig()
    rig.agent.steps = (TextDelta(text="Hel"), end)
    async with rig.client() as client:
        response = await client.post(WAITED, json=ASK)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.headers["x-run-id"] == str(rig.all_runs[0].id)
    assert "Hel" not in response.text


# --- GET /runs/{run_id}/wait and POST /runs/{run_id}/cancel -----------------------------------------------------------


async def test_a_run_is_waited_for_by_its_id() -> None:
    """The answer comes when the run has ended, at once where it has."""
    rig = Rig()
    gate = asyncio.Event()
    rig.agent.steps = (gate, COMPLETED)
    async with rig.client() as client:
        run_id = await queue(client)
        waiting = asyncio.create_task(client.get(f"/runs/{run_id}/wait"))
        working = asyncio.create_task(rig.agent.work())
        await rig.agent.waiting.wait()
        assert not waiting.done()
        gate.set()
        first = await waiting
        await working
        again = await client.get(f"/runs/{run_id}/wait")
        shown = await client.get(f"/runs/{run_id}")
    assert first.status_code == 200
    assert first.json() == again.json() == shown.json()
    assert shown.json()["status"] == "completed"


@pytest.mark.parametrize(
    ("query", "action"), [("", "interrupt"), ("?action=interrupt", "interrupt"), ("?action=rollback", "rollback")]
)
async def test_a_queued_run_is_cancelled_at_once(query: str, action: str) -> None:
    """Nobody has it, so there is nothing to wait for; cancelling it again changes nothing."""
    rig = Rig()
    async with rig.client() as client:
        run_id = await queue(client)
        responses = [await client.post(f"/runs/{run_id}/cancel{query}") for _ in range(2)]
    assert [(response.status_code, response.json()["status"]) for response in responses] == [(200, "cancelled")] * 2
    assert rig.run_store.cancels[0][1:] == (CancelAction(action), "requested")


@pytest.mark.parametrize("wait", [False, True])
async def test_a_run_at_work_is_stopped_by_its_owner(wait: bool) -> None:
    """Its stream ends with run_cancelled and keeps what was said; with `wait` the answer comes when it has ended."""
    rig = Rig()
    rig.agent.steps = (TextDelta(text="Hel"), asyncio.Event(), COMPLETED)
    async with rig.client() as client:
        asking = asyncio.create_task(client.post("/chat/stream", json=ASK))
        await rig.agent.waiting.wait()
        run_id = rig.all_runs[0].id
        cancelled = await client.post(f"/runs/{run_id}/cancel", params={"wait": wait})
        streamed = await asking
        ended = (await client.get(f"/runs/{run_id}")).json()
    assert cancelled.json()["status"] == ("cancelled" if wait else "running")
    assert 'event: run_cancelled\ndata: {"reason":"requested"' in streamed.text
    assert (ended["status"], rig.row(ended["id"]).answer[0].content) == ("cancelled", "Hel")
    assert rig.cancels == ["requested"]


async def test_a_run_that_is_rolled_back_leaves_no_message() -> None:
    """It is on record as cancelled, and the thread is as if it had not been."""
    rig = Rig()
    rig.agent.steps = (TextDelta(text="Hel"), asyncio.Event(), COMPLETED)
    async with rig.client() as client:
        asking = asyncio.create_task(client.post("/chat/stream", json=ASK))
        await rig.agent.waiting.wait()
        run_id = rig.all_runs[0].id
        cancelled = await client.post(f"/runs/{run_id}/cancel?action=rollback&wait=true")
        streamed = await asking
        said = (await client.get(f"/threads/{rig.all_runs[0].thread_id}/messages")).json()["messages"]
    assert (cancelled.json()["status"], said) == ("cancelled", [])
    assert "event: run_cancelled" in streamed.text


async def test_another_tenants_run_is_neither_waited_for_nor_cancelled() -> None:
    """The answer is that of a run that never was, to the byte but for its id."""
    rig = Rig()
    async with rig.client() as client, rig.client({"authorization": f"Bearer {OTHER_KEY}"}) as stranger:
        run_id, nobodys = await queue(client), str(uuid4())
        for method, path in (("GET", "/runs/{}/wait"), ("POST", "/runs/{}/cancel"), ("GET", "/runs/{}")):
            theirs, none = [await stranger.request(method, path.format(which)) for which in (run_id, nobodys)]
            assert (theirs.status_code, none.status_code) == (404, 404)
            one, other = theirs.json()["error"], none.json()["error"]
            assert {**one, "message": "", "request_id": ""} == {**other, "message": "", "request_id": ""}
            assert one["message"] == other["message"].replace(nobodys, run_id)
    assert [run.status for run in rig.all_runs] == [RunStatus.QUEUED]
    assert rig.cancels == []
