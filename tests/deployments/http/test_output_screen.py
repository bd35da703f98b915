"""One secret, in every place where a run may say it, asked for by every route: nobody is shown it, and nothing keeps it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException

from services.errors import ModelServerError
from services.events import GuardrailTripped
from services.guard import Action
from services.guardrails.screen.hold_back import RuleSet
from services.guardrails.screen.output import OutputScreen
from services.guardrails.screen.policy import OutputPolicy
from services.guardrails.screen.rules import Rule
from services.guardrails.screen.shapes import Word
from services.llm.types import ModelCall, TextSink
from tests.deployments.http.fakes import Rig
from tests.deployments.http.real_agent import RealAgent
from tests.services.guardrails.screen.answers import pieces
from tests.services.guardrails.screen.items import SECRET_ITEMS

SECRET = SECRET_ITEMS["secret.github"][0](Random(5))
TAIL = SECRET[-24:]
"""None of this may be anywhere: a part of the secret is too much as well."""

SENTENCE = f"The key is {SECRET}, as you know."
SCREENED = "The key is [redacted: GitHub token], as you know."
ASK: list[dict[str, str]] = [{"role": "user", "content": "What is the key?"}]


def ended(text: str = "", **more: Any) -> AIMessage:
    return AIMessage(content=text, response_metadata={"finish_reason": "stop"}, **more)


def calling(name: str = "probe", **arguments: Any) -> AIMessage:
    return ended(tool_calls=[{"name": name, "args": arguments, "id": "c1"}])


def say(sink: TextSink, text: str = SENTENCE) -> AIMessage:
    for piece in pieces(text, Random(1), 4):
        sink.text(piece)
    return ended(text)


def think(sink: TextSink) -> AIMessage:
    for piece in pieces(SENTENCE, Random(2), 4):
        sink.reasoning(piece)
    sink.text("Well.")
    return ended("Well.", additional_kwargs={"reasoning_content": SENTENCE})


def misspell(sink: TextSink) -> AIMessage:
    sink.tool_call(len(SECRET))
    call = {"name": "probe", "args": f"{{key: {SECRET}", "id": "c1", "error": None, "type": "invalid_tool_call"}
    return ended(invalid_tool_calls=[call])


def fail(sink: TextSink | None = None) -> AIMessage:
    if sink is not None:
        say(sink)
    raise ModelServerError(f"The provider said: {SECRET} is wrong.")


async def returns(key: str = "") -> str:
    return SENTENCE


async def declines(key: str = "") -> str:
    raise ToolException(SENTENCE)


def tool(coroutine: Callable[..., Any]) -> BaseTool:
    return StructuredTool.from_function(coroutine=coroutine, name="probe", description="A tool under test.")


@dataclass(frozen=True)
class Place:
    """Where the secret is said: `first` is the model's first answer, in later ones it says "Done."."""

    first: Callable[[TextSink], AIMessage]
    tools: Sequence[BaseTool] = field(default=(tool(returns),))
    approve: Sequence[str] = ()


PLACES = {
    "text": Place(say),
    "reasoning": Place(think),
    "text that is not streamed": Place(lambda _: ended(SENTENCE)),
    "part of a failed answer": Place(fail),
    "an error": Place(lambda _: fail()),
    "arguments": Place(lambda _: calling(key=SECRET), [tool(declines)]),
    "nested arguments": Place(lambda _: calling(key={"a": [SENTENCE]})),
    "malformed arguments": Place(misspell),
    "the name of a tool": Place(lambda _: calling(f"tool {SECRET}")),
    "a tool's result": Place(lambda _: calling()),
    "a tool's error": Place(lambda _: calling(), [tool(declines)]),
    "a question": Place(lambda _: calling(key=SECRET), approve=("probe",)),
}


@dataclass
class Site:
    """A rig with a real agent in it, and everything that was sent to clients or kept."""

    place: Place
    policy: OutputPolicy
    responses: list[bytes] = field(default_factory=list)
    said: bytes = b""

    def __post_init__(self) -> None:
        self.rig = Rig()
        self.screen = OutputScreen(self.policy)
        self.agent = RealAgent(self.rig, self._answer, self.screen, tools=self.place.tools, approve=self.place.approve)

    async def _answer(self, call: ModelCall, sink: TextSink) -> AIMessage:
        if any(message.type == "tool" for message in call.messages):
            sink.text("Done.")
            return ended("Done.")
        return self.place.first(sink)

    async def ask(self, client: httpx.AsyncClient, method: str, path: str, **body: Any) -> httpx.Response:
        response = await client.request(method, path, json=body or None)
        self.responses.append(response.content)
        self.said += response.content + repr(response.headers).encode()
        return response

    @property
    def kept(self) -> str:
        """Whatever the store, the checkpoints, the model and the observer were given."""
        tables, checkpoints = self.rig.store.tables, self.agent.checkpoints
        return repr(
            [vars(tables), list(tables.runs.values()), vars(checkpoints), self.agent.asked, self.agent.observer]
        )


ROUTES = ("/chat/stream", "/v1/chat/completions", "/v1/chat/completions whole", "/runs/wait", "/runs")


async def told(site: Site, route: str) -> None:
    """Ask by that route, and then read all that can be read of it."""
    async with site.rig.client() as client:
        path, _, whole = route.partition(" ")
        body: dict[str, Any] = {"messages": ASK, "model": "react"}
        if path == "/v1/chat/completions":
            body["stream"] = not whole
        await site.ask(client, "POST", path, **body)
        await site.agent.work()
        [run] = site.rig.all_runs
        await site.ask(client, "GET", f"/runs/{run.id}")
        await site.ask(client, "GET", f"/runs/{run.id}/stream")
        await site.ask(client, "GET", f"/threads/{run.thread_id}/messages")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("place", PLACES)
async def test_the_secret_is_nowhere(place: str, route: str) -> None:
    """Not in a response, streamed or whole, not in a replay, a message, the log, a checkpoint, nor before the model again."""
    site = Site(PLACES[place], OutputPolicy())
    await told(site, route)
    assert TAIL not in site.said.decode()
    assert TAIL not in site.kept


@pytest.mark.parametrize("place", PLACES)
async def test_the_places_are_real(place: str) -> None:
    """Where secrets are allowed, each of these is shown: so it is the screen that keeps them in."""
    site = Site(PLACES[place], OutputPolicy(secrets=Action.ALLOW))
    await told(site, "/chat/stream")
    assert TAIL in site.said.decode()


@pytest.mark.parametrize("route", ["/chat/stream", "/runs/wait"])
async def test_what_is_stored_is_what_was_released(route: str) -> None:
    """The thread's messages, and what the model is reminded of in the next turn, hold the notice."""
    site = Site(PLACES["text"], OutputPolicy())
    await told(site, route)
    [run] = site.rig.all_runs
    assert [message.content for message in site.rig.store.tables.runs[run.id].answer] == [SCREENED]
    if route == "/runs/wait":
        assert SCREENED in site.said.decode()
    async with site.rig.client() as client:
        await site.ask(client, "POST", "/chat/stream", messages=ASK, thread_id=str(run.thread_id))
    assert [str(message.content) for message in site.agent.asked[-1].messages if message.type == "ai"] == [SCREENED]


async def test_a_stopped_answer_ends_as_filtered() -> None:
    """Where the policy is to block, what was said before stays, every protocol says `content_filter`, and the rule is told."""
    policy = OutputPolicy(secrets=Action.BLOCK)
    streamed, whole, waited = (Site(PLACES["text"], policy) for _ in range(3))
    await told(streamed, "/v1/chat/completions")
    await told(whole, "/v1/chat/completions whole")
    await told(waited, "/runs/wait")
    assert b'"finish_reason":"content_filter"' in streamed.said
    assert b"data: [DONE]" in streamed.said
    assert b'"content":"The key is "' in whole.said
    assert b'"finish_reason":"content_filter"' in whole.said
    assert b'"finish_reason":"content_filter"' in waited.said
    assert b'"text":"The key is "' in waited.said
    assert b'event: guardrail_tripped\ndata: {"stage":"output","rule":"secret.github","action":"block"' in waited.said
    assert TAIL not in streamed.said.decode() + whole.said.decode() + waited.said.decode() + waited.kept


@pytest.mark.parametrize("place", ["arguments", "a tool's result", "an error"])
async def test_blocking_what_is_not_text_withholds_it(place: str) -> None:
    """A call is not made; a result or an error is replaced as a whole."""
    site = Site(PLACES[place], OutputPolicy(secrets=Action.BLOCK))
    await told(site, "/chat/stream")
    assert TAIL not in site.said.decode() + site.kept
    expected = b'"finish_reason":"content_filter"' if place == "arguments" else b"[withheld by a guardrail]"
    assert expected in site.said


@pytest.mark.parametrize("place", ["text", "reasoning", "arguments", "a tool's result", "an error"])
async def test_a_screen_that_breaks_ends_the_run(place: str) -> None:
    """No verdict is no permission: the run fails as `guardrail_unavailable`, and shows nothing of what it could not judge."""

    def broken(found: str, before: str, behind: str) -> int:
        raise ZeroDivisionError

    site = Site(PLACES[place], OutputPolicy())
    rules = RuleSet([Rule(name="broken", label="broken", shape=(Word("ghp_"),), check=broken)])
    site.screen.prose = site.screen.data = rules
    await told(site, "/chat/stream")
    assert b'"code":"guardrail_unavailable"' in site.said
    assert TAIL not in site.said.decode() + site.kept


async def test_a_rule_that_fired_is_told_once() -> None:
    """Also where the stream, the recording and the replay all pass the screen."""
    site = Site(PLACES["text"], OutputPolicy())
    async with site.rig.client() as client:
        response = await site.ask(client, "POST", "/chat/stream", messages=ASK)
    assert response.text.count("event: guardrail_tripped") == 1
    assert GuardrailTripped.__name__ not in response.text
