"""`POST /chat/stream` over the whole application: events, headers, and one terminal event whatever happens."""

import asyncio

import httpx
import orjson
import pytest

from services.errors import MainstayError, ModelStreamBroken, Overloaded, StoreUnavailable
from services.events import (
    GuardrailTripped,
    HandedOver,
    ReasoningDelta,
    RunCancelled,
    RunFailed,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from services.guard import Action, Stage
from services.types import OnDisconnect, RunStatus, Usage
from tests.deployments.http.fakes import KEY, OTHER_KEY, Rig
from tests.deployments.http.scripted_agent import COMPLETED

ASK = {"messages": [{"role": "user", "content": "Say hello."}]}


def frames(text: str) -> list[dict[str, str]]:
    """Return the frames of an event stream as field -> value."""
    blocks = [block for block in text.split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def names(response: httpx.Response) -> list[str]:
    return [frame.get("event", frame["data"]) for frame in frames(response.text)]


async def test_an_answer_is_streamed_as_events_with_ids_and_done_last() -> None:
    """The shortest run yields its start, its text, its end and the closing line, with consecutive ids."""
    async with Rig().client() as client:
        response = await client.post("/chat/stream", json=ASK)
    assert response.status_code == 200
    assert names(response) == ["run_started", "text_delta", "text_delta", "run_completed", "[DONE]"]
    assert [frame["id"] for frame in frames(response.text)[:-1]] == ["1-0", "1-1", "1-2", "1-3"]
    assert orjson.loads(frames(response.text)[1]["data"]) == {"text": "Hel"}


async def test_the_headers_say_what_the_run_is_and_where_it_can_be_found() -> None:
    """Run, thread and location are in the headers, and caches and proxies are told to keep off."""
    rig = Rig()
    async with rig.client() as client:
        response = await client.post("/chat/stream", json=ASK)
        run = rig.row(response.headers["x-run-id"]).run
        assert response.headers["x-thread-id"] == str(run.thread_id)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        assert (await client.get(response.headers["content-location"])).json()["status"] == "completed"


async def test_every_kind_of_event_reaches_the_client() -> None:
    """Tools, hand-overs, reasoning and a guardrail's word have events of their own."""
    rig = Rig()
    rig.agent.steps = (
        ReasoningDelta(text="hm"),
        ToolStarted(call_id="c1", name="calculator", arguments="{}"),
        ToolFinished(call_id="c1", name="calculator", ok=True, result="4", duration_s=0.1),
        HandedOver(from_agent="router", to_agent="writer"),
        GuardrailTripped(stage=Stage.OUTPUT, rule="pii", action=Action.REDACT, message="An address was removed."),
        TextDelta(text="4", source="writer"),
        COMPLETED,
    )
    async with rig.client() as client:
        response = await client.post("/chat/stream", json=ASK)
    assert names(response)[1:-1] == [
        "reasoning_delta",
        "tool_started",
        "tool_finished",
        "handed_over",
        "guardrail_tripped",
        "text_delta",
        "run_completed",
    ]


async def test_the_request_becomes_the_run() -> None:
    """Model, options, policy and metadata of the body are those of the run."""
    rig = Rig()
    body = ASK | {
        "model": "planner",
        "on_disconnect": "continue",
        "temperature": 1,
        "top_p": 0.5,
        "max_tokens": 9,
        "stop": ["END"],
        "seed": 4,
        "metadata": {"from": "test"},
    }
    async with rig.client() as client:
        assert (await client.post("/chat/stream", json=body)).status_code == 200
    [run] = rig.all_runs
    assert (run.graph, run.on_disconnect, dict(run.metadata)) == ("planner", OnDisconnect.CONTINUE, {"from": "test"})
    assert (run.options.temperature, run.options.top_p, run.options.max_output_tokens) == (1.0, 0.5, 9)
    assert (run.options.stop, run.options.seed, run.ephemeral, run.new_thread) == (("END",), 4, False, False)


async def test_a_second_turn_continues_the_thread() -> None:
    """The thread id of the first answer is good for the second question, and only for its owner."""
    rig = Rig()
    async with rig.client() as client:
        thread_id = (await client.post("/chat/stream", json=ASK)).headers["x-thread-id"]
        second = await client.post("/chat/stream", json=ASK | {"thread_id": thread_id})
        foreign = await client.post(
            "/chat/stream", json=ASK | {"thread_id": thread_id}, headers={"authorization": f"Bearer {OTHER_KEY}"}
        )
    assert (second.status_code, second.headers["x-thread-id"]) == (200, thread_id)
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("error", "status", "retry", "after"),
    [
        (Overloaded("Full.", retry_after_s=1.2), 503, "true", "2"),
        (StoreUnavailable("No database."), 503, "true", None),
        (ModelStreamBroken("Cut."), 502, "true", None),
    ],
)
async def test_a_failure_before_the_first_event_is_a_status(
    error: MainstayError, status: int, retry: str, after: str | None
) -> None:
    """What fails before anything was sent is an HTTP error that says whether, and when, to come back."""
    rig = Rig()
    rig.agent.silent_start, rig.agent.steps = True, (error,)
    async with rig.client() as client:
        response = await client.post("/chat/stream", json=ASK)
    assert response.status_code == status
    assert response.headers["x-should-retry"] == retry
    assert response.headers.get("retry-after") == after
    assert [run.status for run in rig.all_runs] == [RunStatus.FAILED]


async def test_a_busy_thread_is_refused_and_not_to_be_retried() -> None:
    """A second turn on a thread that runs is a 409 that the SDK's own retries are told to leave alone."""
    rig = Rig()
    gate = asyncio.Event()
    rig.agent.steps = (gate, COMPLETED)
    async with rig.client() as client:
        first = asyncio.create_task(client.post("/chat/stream", json=ASK))
        await rig.agent.executing.wait()
        thread_id = rig.all_runs[0].thread_id
        second = await client.post("/chat/stream", json=ASK | {"thread_id": str(thread_id)})
        gate.set()
        await first
    assert (second.status_code, second.headers["x-should-retry"]) == (409, "false")
    assert second.json()["error"]["code"] == "thread_busy"


async def test_a_blocked_question_is_a_400() -> None:
    """The guard's refusal is an answer of its own, before any agent was asked."""
    rig = Rig()
    async with rig.client() as client:
        response = await client.post("/chat/stream", json={"messages": [{"role": "user", "content": "forbidden"}]})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "content_blocked")
    assert not rig.agent.executing.is_set()


async def test_a_run_that_fails_mid_stream_ends_in_one_failure() -> None:
    """A failure after some text is one run_failed that says that it is partial."""
    rig = Rig()
    rig.agent.steps = (TextDelta(text="Hel"), Overloaded("Gone."))
    async with rig.client() as client:
        response = await client.post("/chat/stream", json=ASK)
    assert names(response) == ["run_started", "text_delta", "run_failed", "[DONE]"]
    failed = orjson.loads(frames(response.text)[-2]["data"])
    assert (failed["partial"], failed["next"]) == (True, "continue")
    assert set(failed["error"]) == {"code", "message", "retryable", "retry_after_s"}


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (COMPLETED, "run_completed"),
        (
            RunFailed(failure=Overloaded("Full.").to_failure(), partial=False, usage=Usage(), duration_s=0.1),
            "run_failed",
        ),
        (RunCancelled(reason="deleted", usage=Usage(), duration_s=0.1), "run_cancelled"),
    ],
)
async def test_nothing_follows_the_terminal_event(event: RunFailed, name: str) -> None:
    """What an agent says after its terminal event is not shown: there is one such event, and [DONE] after it."""
    rig = Rig()
    rig.agent.steps = (event, TextDelta(text="late"), COMPLETED)
    async with rig.client() as client:
        response = await client.post("/chat/stream", json=ASK)
    assert names(response) == ["run_started", name, "[DONE]"]


async def test_a_finished_run_is_not_hung_up() -> None:
    """Reading an answer to its end tells the agent nothing, but closes its stream."""
    rig = Rig()
    async with rig.client() as client:
        await client.post("/chat/stream", json=ASK, headers={"x-api-key": KEY})
    assert rig.cancels == []
    assert rig.agent.closed.is_set()
