"""Models, threads and runs: what can be read and erased, and by whom."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from services.errors import Overloaded
from services.types import Message, RunStatus, ToolCall
from tests.deployments.http.fakes import NOW, OTHER_KEY, Rig

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello."}]}


async def _ask(client: httpx.AsyncClient) -> httpx.Response:
    response = await client.post("/chat/stream", json=ASK)
    assert response.status_code == 200
    return response


async def test_each_graph_is_a_model() -> None:
    """The list has OpenAI's shape, and each entry can be had by its id."""
    async with Rig().client() as client:
        listed = (await client.get("/v1/models")).json()
        one = (await client.get("/v1/models/planner")).json()
        unknown = await client.get("/v1/models/gpt-4o")
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["react", "planner"]
    assert one == {
        "id": "planner",
        "object": "model",
        "created": int(NOW),
        "owned_by": "mainstay",
        "description": "Plans first.",
    }
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "model")


async def test_threads_are_listed_newest_first_page_by_page() -> None:
    """`next_before` leads from page to page and is null on the last."""
    rig = Rig()
    async with rig.client() as client:
        ids = [(await _ask(client)).headers["x-thread-id"] for _ in range(3)]
        await client.post("/v1/chat/completions", json=ASK | {"model": "react"})
        first = (await client.get("/threads?limit=2")).json()
        second = (await client.get("/threads", params={"limit": 2, "before": first["next_before"]})).json()
    assert [thread["id"] for thread in first["threads"] + second["threads"]] == ids[::-1]
    assert (first["next_before"], second["next_before"]) == (ids[1], None)


async def test_a_thread_has_its_history() -> None:
    """Messages come oldest first, the last `limit` of them, with tool calls where there were any."""
    rig = Rig()
    async with rig.client() as client:
        done = await _ask(client)
        thread_id = done.headers["x-thread-id"]
        call = ToolCall(id="c1", name="calculator", arguments="{}")
        rig.row(done.headers["x-run-id"]).answer = (
            Message(role="assistant", content="", tool_calls=(call,)),
            Message(role="tool", content="4", tool_call_id="c1"),
        )
        everything = (await client.get(f"/threads/{thread_id}/messages")).json()
        last = (await client.get(f"/threads/{thread_id}/messages?limit=1")).json()
        thread = (await client.get(f"/threads/{thread_id}")).json()
    assert everything["messages"] == [
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "name": "calculator", "arguments": "{}"}]},
        {"role": "tool", "content": "4", "tool_call_id": "c1"},
    ]
    assert last["messages"] == everything["messages"][-1:]
    assert set(thread) == {"id", "created_at", "updated_at", "metadata"}


async def test_a_thread_can_be_erased() -> None:
    """After the 204 it is gone; while it runs it stays, as a 409."""
    rig = Rig()
    async with rig.client() as client:
        done = await _ask(client)
        path = f"/threads/{done.headers['x-thread-id']}"
        row = rig.row(done.headers["x-run-id"])
        finished = row.run
        row.run = replace(finished, status=RunStatus.RUNNING)
        busy = await client.delete(path)
        row.run = finished
        erased = await client.delete(path)
        gone = await client.get(path)
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "thread_busy")
    assert (erased.status_code, erased.content, gone.status_code) == (204, b"", 404)


async def test_a_run_shows_how_it_ended() -> None:
    """A failed run has its error in the form of the events, without status or traceback."""
    rig = Rig()
    async with rig.client() as client:
        run_id = (await _ask(client)).headers["x-run-id"]
        failure = Overloaded("Full.", retry_after_s=3.0).to_failure()
        rig.row(run_id).run = replace(
            rig.row(run_id).run,
            status=RunStatus.FAILED,
            failure=failure,
            finished_at=datetime.fromtimestamp(NOW, UTC),
        )
        run = (await client.get(f"/runs/{run_id}")).json()
    assert run["status"] == "failed"
    assert run["error"] == {"code": "overloaded", "message": "Full.", "retryable": True, "retry_after_s": 3.0}
    assert run["usage"]["model_calls"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/threads/{thread}"),
        ("GET", "/threads/{thread}/messages"),
        ("DELETE", "/threads/{thread}"),
        ("GET", "/runs/{run}"),
    ],
)
async def test_another_tenants_things_do_not_exist(method: str, path: str) -> None:
    """What belongs to another tenant is a 404, the same as what never was."""
    rig = Rig()
    async with rig.client() as client:
        done = await _ask(client)
        theirs = path.format(thread=done.headers["x-thread-id"], run=done.headers["x-run-id"])
        response = await client.request(method, theirs, headers={"authorization": f"Bearer {OTHER_KEY}"})
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
        assert (await client.request("GET", theirs.removesuffix("/messages"))).status_code == 200


async def test_the_openapi_document_describes_every_route() -> None:
    """It has the protocols' bodies, though FastAPI does not route them, and every reference in it leads somewhere."""
    async with Rig().client() as client:
        document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert {"ChatStreamBody", "CompletionBody", "CompletionMessage", "ChatMessage"} <= set(schemas)
    paths = document["paths"]
    assert set(paths["/chat/stream"]) == {"post"}
    assert set(paths["/runs"]["post"]["responses"]) == {"202"}
    assert set(paths["/runs/wait"]["post"]["responses"]) == {"200"}
    assert set(paths["/runs/{run_id}/stream"]["get"]["responses"]) == {"200", "204"}
    named = [parameter["name"] for parameter in paths["/runs/{run_id}/stream"]["get"]["parameters"]]
    assert named == ["run_id", "Last-Event-ID"]

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if "$ref" in value else set()
            return own.union(*(references(child) for child in value.values()))
        return set().union(*(references(child) for child in value)) if isinstance(value, list) else set()

    assert {reference.rsplit("/", 1)[1] for reference in references(document)} <= set(schemas)
