"""The warm-up: a real turn of the graph that leaves no trace, and whose failure is nobody's."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from services.errors import ModelUnreachable
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.runs.types import GraphResult, RunContext
from services.runs.warm_up import warm_up
from services.types import Message
from tests.services.runs.fakes import FakeGraph, FakeGuard, FakeProvider


async def test_the_turn_is_short_and_goes_through_the_graph() -> None:
    """The graph is asked with its own prompts, for one token, as an ephemeral run; what it says is kept nowhere."""
    seen: list[RunContext] = []

    async def look(context: RunContext) -> GraphResult:
        seen.append(context)
        await context.model.generate(ModelCall(messages=[HumanMessage("hello")]))
        return GraphResult(messages=(Message(role="assistant", content="h"),))

    async def speak(call: ModelCall, sink: TextSink) -> AIMessage:
        sink.text("h")
        await sink.drain()
        return AIMessage(content="h")

    gateway = Gateway([Route.of(FakeProvider(speak))])
    await warm_up("react", FakeGraph(look), gateway, FakeGuard(), {"system": "be brief"}, within_s=5.0)
    [context] = seen
    assert context.claim.run is context.run
    assert context.log.unstored() == ()
    assert context.events.cut() == (0, [])  # type: ignore[attr-defined]
    assert context.run.ephemeral
    assert context.run.options.max_output_tokens == 1
    assert context.prompts == {"system": "be brief"}


async def test_a_model_that_is_not_there_yet_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A replica starts all the same, and the log says why its first answer will be slow."""

    async def unreachable(context: RunContext) -> GraphResult:
        raise ModelUnreachable("no server")

    await warm_up("react", FakeGraph(unreachable), Gateway([]), FakeGuard(), {}, within_s=5.0)
    assert "warm-up of react failed" in caplog.text
