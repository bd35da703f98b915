"""One forbidden name, in every place where a model may say it, asked for by every route: held or taken back, and not kept."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from langchain_core.messages import AIMessage

from services.errors import ModelServerError
from services.events import EventBatch, TextDelta
from services.guard import Verdict
from services.guardrails.screen.output import OutputScreen
from services.guardrails.screen.policy import OutputPolicy
from services.guardrails.semantic.phrases import PhrasesCheck
from services.guardrails.semantic.tier import Mode, SemanticTier, TimedCheck
from services.guardrails.semantic.types import Context, SemanticCheck
from services.llm.types import TextSink
from tests.deployments.http.real_agent import RealAgent
from tests.deployments.http.test_contract import DOCUMENT
from tests.deployments.http.test_output_screen import ROUTES, Place, Site, calling, ended, told

NAME = "Project Nightjar"
BEFORE = "There is something that I was told."
SENTENCE = f" It is called {NAME}, and nobody may know of it."
AFTER = " The weather is fine, and will be so tomorrow."
TEXT = BEFORE + SENTENCE + AFTER


def say(sink: TextSink) -> AIMessage:
    for word in TEXT.split(" "):
        sink.text(f" {word}" if word != "There" else word)
    return ended(TEXT)


def think(sink: TextSink) -> AIMessage:
    sink.reasoning(TEXT)
    sink.text("Well.")
    return ended("Well.", additional_kwargs={"reasoning_content": TEXT})


def misspell(sink: TextSink) -> AIMessage:
    sink.tool_call(len(NAME))
    call = {"name": "probe", "args": f"{{key: {NAME}", "id": "c1", "error": None, "type": "invalid_tool_call"}
    return ended(invalid_tool_calls=[call])


def fail(sink: TextSink | None = None) -> AIMessage:
    if sink is not None:
        sink.text(TEXT)
    raise ModelServerError(f"The provider said: {NAME} is wrong.")


PLACES = {
    "text": Place(say),
    "reasoning": Place(think),
    "text that is not streamed": Place(lambda _: ended(TEXT)),
    "part of a failed answer": Place(fail),
    "an error": Place(lambda _: fail()),
    "arguments": Place(lambda _: calling(key=NAME)),
    "nested arguments": Place(lambda _: calling(key={"a": [TEXT]})),
    "malformed arguments": Place(misspell),
    "the name of a tool": Place(lambda _: calling(f"tool {NAME}")),
    "a question": Place(lambda _: calling(key=NAME), approve=("probe",)),
}


def judged(site: Site, mode: Mode, check: SemanticCheck | None = None) -> Site:
    """Have the site's answers judged."""
    tier = SemanticTier([TimedCheck(check=check or PhrasesCheck({"phrases": [NAME]}), deadline_s=9)], mode)
    site.screen = OutputScreen(site.policy, semantic=lambda: tier)
    site.agent = RealAgent(site.rig, site._answer, site.screen, tools=site.place.tools, approve=site.place.approve)
    return site


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.ASYNC])
async def test_the_name_is_nowhere(mode: Mode, place: str, route: str) -> None:
    """Nothing keeps it, in no mode. Held, no client is sent it; ahead, nobody but who reads the answer live."""
    site = judged(Site(PLACES[place], OutputPolicy()), mode)
    await told(site, route)
    assert NAME not in site.kept
    live = mode is Mode.ASYNC and place in ("text", "part of a failed answer")
    if not (live and route in ("/chat/stream", "/v1/chat/completions")):
        assert NAME not in site.said.decode()


@pytest.mark.parametrize("place", PLACES)
async def test_the_places_are_real(place: str) -> None:
    """Where nothing is judged, each of these is shown."""
    site = Site(PLACES[place], OutputPolicy())
    await told(site, "/chat/stream")
    assert NAME in site.said.decode()


class Slow:
    """Judges like another check, when all of the text has been handed out."""

    name = "slow"

    def __init__(self, check: SemanticCheck) -> None:
        self._check = check
        self._shown = 0
        self._all = asyncio.Event()

    def show(self, batch: EventBatch) -> None:
        self._shown += sum(len(event.text) for event in batch.events if isinstance(event, TextDelta))
        if self._shown >= len(TEXT):
            self._all.set()

    async def judge(self, piece: str, context: Context) -> Verdict:
        await self._all.wait()
        return await self._check.judge(piece, context)


async def say_slowly(sink: TextSink) -> AIMessage:
    for word in TEXT.split(" "):
        sink.text(f" {word}" if word != "There" else word)
        await sink.drain()
        await asyncio.sleep(0)
    return ended(TEXT)


async def retracted(route: str) -> Site:
    """A site that has shown all of the text before it was judged, and has then been asked for it again."""
    slow = Slow(PhrasesCheck({"phrases": [NAME]}))
    site = judged(Site(PLACES["text"], OutputPolicy()), Mode.ASYNC, slow)
    site.agent.on_batch = slow.show
    site.agent._say = lambda call, sink: say_slowly(sink)
    await told(site, route)
    return site


def frames(body: bytes) -> list[tuple[str, Any]]:
    """The events of a stream, by name, each with what it says."""
    found = []
    for frame in body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.split("\n") if ": " in line and not line.startswith(":"))
        if lines.get("data", "[DONE]") != "[DONE]":
            found.append((lines.get("event", ""), orjson.loads(lines["data"])))
    return found


async def followed(body: bytes) -> list[str]:
    """What a client shows that follows a stream as docs/http.md says, after each event."""
    [client] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(client, names)  # the document is ours
    shown: list[str] = []

    async def events() -> AsyncIterator[tuple[str, Any]]:
        for event in frames(body):
            yield event

    await names["follow"](events(), shown.append)
    return shown


async def test_our_own_stream_says_what_is_taken_back() -> None:
    """The range of the answer's characters and the rule; who follows it as docs/http.md shows is left with what the thread has.

    So is who reads a replay.
    """
    site = await retracted("/chat/stream")
    stream, *_ = site.responses
    replay = site.responses[2]
    assert NAME in stream.decode()
    assert NAME not in replay.decode()
    for body in (stream, replay):
        [taken] = [said for name, said in frames(body) if name == "retract"]
        assert taken == {"from_char": len(BEFORE), "to_char": len(TEXT), "rule": "semantic.phrases"}
        assert (await followed(body))[-1] == BEFORE
        assert [said["finish_reason"] for name, said in frames(body) if name == "run_completed"] == ["content_filter"]


async def test_chat_completions_end_as_filtered() -> None:
    """No words of the protocol take anything back: the stream goes no further, says why, and has the range for who looks."""
    site = await retracted("/v1/chat/completions")
    chunks = [said for _, said in frames(site.responses[0])]
    [taken] = [chunk["retract"] for chunk in chunks if "retract" in chunk]
    assert (taken["from_char"], taken["to_char"]) == (len(BEFORE), len(TEXT))
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert [reason for reason in reasons if reason] == ["content_filter"]


@pytest.mark.parametrize("route", ["/v1/chat/completions whole", "/runs/wait"])
async def test_a_document_has_what_is_left(route: str) -> None:
    """Nothing of what was taken back, and the reason."""
    site = await retracted(route)
    assert NAME not in site.said.decode()
    assert BEFORE in site.responses[0].decode()
    assert b'"finish_reason":"content_filter"' in site.responses[0]
