"""`timeout_s`: what a client may ask for, and what it sees when the time is up."""

import asyncio
from typing import Any

import httpx
import openai
import orjson
import pytest

from deployments.protocols import PROTOCOLS
from deployments.protocols.types import Rules
from services.errors import InvalidRequest
from services.events import TextDelta
from services.types import JsonObject
from tests.deployments.http.fakes import KEY, Rig, check_webhook, serving
from tests.deployments.http.refusals import BOTH, CHAT, COMPLETIONS, GOOD, check, post
from tests.deployments.http.scripted_agent import COMPLETED

AGES = 100.0


@pytest.mark.parametrize("asked", [1, 1.5, 60, 60.0])
@BOTH
async def test_a_client_may_set_the_time_of_its_turn(path: str, asked: float) -> None:
    """Both bounds included, whole or not: it is what the agent is given."""
    rig = Rig()
    response = await post(rig, path, orjson.dumps(GOOD | {"timeout_s": asked}))
    assert response.status_code == 200
    assert [ticket.remaining_s for ticket in rig.agent.tickets] == [asked]


@pytest.mark.parametrize("body", [{}, {"timeout_s": None}], ids=["absent", "null"])
@BOTH
async def test_without_one_the_operators_limit_holds(path: str, body: JsonObject) -> None:
    """A request that says nothing of time has as much as there is."""
    rig = Rig()
    assert (await post(rig, path, orjson.dumps(GOOD | body))).status_code == 200
    assert [ticket.remaining_s for ticket in rig.agent.tickets] == [60.0]


@pytest.mark.parametrize("wrong", [0, 0.99, -5, 60.1, 1e300, 2**63, True, False, "30", "", [], [30], {}], ids=repr)
@BOTH
async def test_any_other_time_is_refused_with_its_bounds(rig: Rig, path: str, wrong: Any) -> None:
    """Numbers out of bounds and what is no number get the same 400, which says what may be asked for."""
    response = await post(rig, path, orjson.dumps(GOOD | {"timeout_s": wrong}))
    check(response, 400, "timeout_s", "invalid_request")
    assert "a number of seconds from 1 to 60." in response.json()["error"]["message"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_number_is_no_time(protocol: str, value: float) -> None:
    """JSON cannot hold them, and a protocol would refuse them all the same."""
    rules = Rules(
        default_graph="react", max_messages=4, max_message_chars=50, max_run_s=60.0, check_webhook=check_webhook
    )
    with pytest.raises(InvalidRequest, match="from 1 to 60"):
        PROTOCOLS[protocol].parse(GOOD | {"timeout_s": value}, {}, rules)


async def test_the_bound_is_the_settings() -> None:
    """An operator who allows less is quoted with less, even below a second."""
    response = await post(Rig(max_run_s=0.5), CHAT, orjson.dumps(GOOD | {"timeout_s": 1}))
    assert "from 0.5 to 0.5." in response.json()["error"]["message"]


async def test_the_openai_sdk_sends_it_as_an_extra() -> None:
    """`extra_body={"timeout_s": ...}` is all that a user of the SDK writes."""
    rig = Rig()
    async with (
        serving(rig.app) as port,
        openai.AsyncOpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1") as client,
    ):
        await client.chat.completions.create(model="react", messages=GOOD["messages"], extra_body={"timeout_s": 30})
    assert [ticket.remaining_s for ticket in rig.agent.tickets] == [30.0]


async def out_of_time(rig: Rig, path: str, **more: object) -> httpx.Response:
    """Ask, let the time pass once the agent has fallen silent, and return the answer."""
    asking = asyncio.create_task(post(rig, path, orjson.dumps(GOOD | {"timeout_s": 30} | more)))
    await rig.agent.waiting.wait()
    rig.time.advance(AGES)
    response = await asking
    await rig.runs.settled()
    assert rig.cancels == []  # its agent has the same deadline
    assert rig.agent.closed.is_set()
    return response


@BOTH
async def test_out_of_time_before_the_first_event_is_a_504(path: str) -> None:
    """An agent that does not begin in time is a status, not to be sent again as it was."""
    rig = Rig()
    rig.agent.silent_start, rig.agent.steps = True, (asyncio.Event(), COMPLETED)
    response = await out_of_time(rig, path)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["next"]) == (504, "deadline_exceeded", "change")
    assert "30 s" in error["message"]
    assert response.headers["x-should-retry"] == "false"


async def test_out_of_time_after_some_text_is_the_last_event() -> None:
    """The stream ends in order, says that there is something to continue, and the history shows it as incomplete."""
    rig = Rig()
    rig.agent.steps = (TextDelta(text="Hel"), asyncio.Event(), COMPLETED)
    response = await out_of_time(rig, CHAT)
    *_, failed, done = response.text.strip().split("\n\n")
    assert done == "data: [DONE]"
    assert "event: run_failed" in failed
    data = orjson.loads(failed.rpartition("data: ")[2])
    assert (data["error"]["code"], data["partial"], data["next"]) == ("deadline_exceeded", True, "continue")
    async with rig.client() as client:
        said = (await client.get(f"/threads/{response.headers['x-thread-id']}/messages")).json()["messages"]
    assert said[1:] == [{"role": "assistant", "content": "Hel", "incomplete": True}]
    assert "incomplete" not in said[0]


async def test_out_of_time_after_some_text_is_the_sdks_error() -> None:
    """Chat Completions sends the error in its own form, without a finish reason and without [DONE]."""
    rig = Rig()
    rig.agent.steps = (TextDelta(text="Hel"), asyncio.Event(), COMPLETED)
    response = await out_of_time(rig, COMPLETIONS, stream=True)
    last = orjson.loads(response.text.strip().rpartition("data: ")[2])
    assert (last["error"]["code"], last["error"]["next"]) == ("deadline_exceeded", "continue")


async def test_out_of_time_of_a_whole_answer_is_a_504() -> None:
    """Nothing was shown of it, so there is nothing to continue; the run can be looked up."""
    rig = Rig()
    rig.agent.steps = (TextDelta(text="Hel"), asyncio.Event(), COMPLETED)
    response = await out_of_time(rig, COMPLETIONS)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["next"]) == (504, "deadline_exceeded", "change")
    assert rig.row(response.headers["x-run-id"]).answer[0].content == "Hel"
