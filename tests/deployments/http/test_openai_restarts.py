"""What the openai SDK sees of runs that are taken over by another replica, and of runs that ask a person."""

import asyncio
from typing import Any
from uuid import uuid4

import openai
import pytest

from services.events import RunEvent, RunInterrupted, RunRestarted, RunStarted, TextDelta
from services.types import EventId, Interruption, Usage
from tests.deployments.http.scripted_agent import COMPLETED
from tests.deployments.http.served import Served

ASK: list[Any] = [{"role": "user", "content": "Say hello."}]


def restart(keep: EventId | None) -> tuple[RunEvent, ...]:
    """An agent is lost, and another one goes on behind `keep`."""
    return RunRestarted(attempt=2, keep=keep), RunStarted(run_id=uuid4(), thread_id=uuid4(), graph="react", attempt=2)


SHOWN = EventId(attempt=1, seq=1)


@pytest.mark.parametrize(
    "steps",
    [(*restart(None), TextDelta(text="Hello")), (TextDelta(text="Hel"), *restart(SHOWN), TextDelta(text="lo"))],
    ids=["before any text", "behind all text"],
)
async def test_a_restart_that_takes_nothing_back_is_not_seen(served: Served, steps: tuple[RunEvent, ...]) -> None:
    """The SDK's accumulating helper, which would join a role that came twice, has one whole answer."""
    served.rig.agent.steps = (*steps, COMPLETED)
    async with served.client() as client, client.chat.completions.stream(model="react", messages=ASK) as stream:
        final = await stream.get_final_completion()
    assert (final.choices[0].message.role, final.choices[0].message.content) == ("assistant", "Hello")


async def test_a_restart_that_takes_text_back_is_an_error_and_the_end(served: Served) -> None:
    """Nothing of the other answer is sent, the stream is closed though the run goes on, and the run is then hung up."""
    served.rig.agent.steps = (
        TextDelta(text="Goodb"),
        *restart(None),
        TextDelta(text="Hello"),
        asyncio.Event(),
        COMPLETED,
    )
    texts: list[str | None] = []

    async def read() -> None:
        async with served.client() as client:
            async for chunk in await client.chat.completions.create(model="react", messages=ASK, stream=True):
                texts.append(chunk.choices[0].delta.content)

    with pytest.raises(openai.APIError) as caught:
        await read()
    assert caught.value.code == "answer_restarted"
    assert texts == ["", "Goodb"]
    await asyncio.wait_for(served.rig.run_store.cancelled.wait(), 5)


async def test_the_stream_of_an_answer_that_was_taken_back_is_closed(served: Served) -> None:
    """By us, for a client that would read on: the run goes on for who knows how long, and nothing more of it is sent."""
    served.rig.agent.steps = (TextDelta(text="Goodb"), *restart(None), asyncio.Event(), COMPLETED)
    async with served.rig.client() as client:
        asking = client.post("/v1/chat/completions", json={"model": "react", "messages": ASK, "stream": True})
        response = await asyncio.wait_for(asking, 5)
    assert "answer_restarted" in response.text.split("\n\n")[-2]
    await served.rig.runs.settled()
    assert served.rig.cancels == ["client_disconnected"]


async def test_a_question_to_a_person_is_the_answers_text(served: Served) -> None:
    """The protocol has no other place for it: it comes behind what was said, and the answer ends as any other."""
    asked = Interruption(id="i1", value={"action_requests": [{"name": "send_email", "args": {"to": "eve"}}]})
    served.rig.agent.steps = (
        TextDelta(text="Let me see."),
        RunInterrupted(interrupts=(asked,), usage=Usage(), duration_s=0.1),
    )
    async with served.client() as client:
        whole = (await client.chat.completions.create(model="react", messages=ASK)).choices[0]
        async with client.chat.completions.stream(model="react", messages=ASK) as stream:
            streamed = (await stream.get_final_completion()).choices[0]
    text = 'Let me see.\n\nThis needs your decision: send_email({"to":"eve"})'
    assert whole.message.content == streamed.message.content == text
    assert whole.finish_reason == streamed.finish_reason == "stop"
