"""What a model call leaves behind: how long it took to decide and to speak, and what it has cost."""

from collections.abc import Awaitable, Callable, Mapping

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata

from services.errors import ModelServerError
from services.limits.prices import Price
from services.limits.purse import BOTTOMLESS, Held, Tokens
from services.llm.gateway import Gateway
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.resilience.retry import RetryPolicy
from services.runs.deadline import Deadline
from services.telemetry.metrics import AGENT_DECISION_LATENCY, MODEL_FIRST_CONTENT, MODEL_INTER_TOKEN, SPENT
from services.types import Usage
from tests.services.llm.fakes import Shown
from tests.services.runs.fakes import FakeProvider
from tests.services.telemetry.fakes import KeptMeter

CALL = ModelCall(messages=[HumanMessage("hello you")])
Say = Callable[[TextSink], None]


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Priced:
    """Implements `Purse` and `Held`, with a price."""

    price = Price(input=1_000.0, output=10_000.0)

    async def reserve(self, model: str, most: Tokens, expected: Tokens) -> Held:
        return self

    def settle(self, usage: Usage) -> Awaitable[None]:
        return BOTTOMLESS.settle(usage)  # type: ignore[attr-defined,no-any-return]


def scripted(clock: Clock, *steps: Say | ModelServerError) -> FakeProvider:
    """A provider that takes a second before each of its steps, and before its end."""

    async def script(call: ModelCall, sink: TextSink) -> AIMessage:
        for step in steps:
            clock.now_s += 1.0
            if isinstance(step, ModelServerError):
                raise step
            step(sink)
        clock.now_s += 1.0
        return AIMessage(content="x", usage_metadata=UsageMetadata(input_tokens=7, output_tokens=2, total_tokens=9))

    return FakeProvider(script, name="a")


async def measured(clock: Clock, *providers: FakeProvider) -> KeptMeter:
    meter = KeptMeter()
    gateway = Gateway(
        [Route.of(provider) for provider in providers],
        retry=RetryPolicy(attempts_per_provider=1),
        meter=meter,
        graph="react",
        clock=clock,
    )
    await gateway.bind(Shown(), Deadline.after(60.0), purse=Priced()).generate(CALL)
    return meter


def texts(*words: str) -> list[Say]:
    return [lambda sink, word=word: sink.text(word) for word in words]  # type: ignore[misc]


def thought(sink: TextSink) -> None:
    sink.reasoning("hm")


def called(sink: TextSink) -> None:
    sink.tool_call(5)


@pytest.mark.parametrize(
    ("steps", "first_s", "decided_s"),
    [
        ([*texts("a", "b", "c")], 1.0, 1.0),
        ([thought, thought, *texts("a")], 1.0, 3.0),
        ([thought, called], 1.0, 2.0),
        ([called, thought], 1.0, 1.0),
    ],
    ids=["text", "reasoning first", "a tool after reasoning", "a tool at once"],
)
async def test_a_decision_is_the_first_that_is_not_reasoning(
    steps: list[Say], first_s: float, decided_s: float
) -> None:
    """Text, or a piece of a tool call; the first content may be either or reasoning."""
    clock = Clock()
    meter = await measured(clock, scripted(clock, *steps))
    assert meter.of(MODEL_FIRST_CONTENT) == [(first_s, {"provider": "a"})]
    assert meter.of(AGENT_DECISION_LATENCY) == [(decided_s, {"graph": "react"})]


async def test_what_failed_before_counts_for_the_agent_and_not_for_the_provider() -> None:
    """Fail-over is part of how long the agent took."""
    clock = Clock()
    meter = await measured(clock, scripted(clock, ModelServerError("503")), scripted(clock, *texts("a")))
    assert [value for value, _ in meter.of(MODEL_FIRST_CONTENT)] == [1.0]
    assert [value for value, _ in meter.of(AGENT_DECISION_LATENCY)] == [2.0]


@pytest.mark.parametrize(("words", "mean_s"), [(["a", "b", "c"], [1.5]), (["a"], [])])
async def test_the_time_between_pieces_is_their_mean(words: list[str], mean_s: list[float]) -> None:
    """From the first piece to the end, over the gaps; an answer of one piece has none."""
    clock = Clock()
    meter = await measured(clock, scripted(clock, *texts(*words)))
    assert [value for value, _ in meter.of(MODEL_INTER_TOKEN)] == mean_s


async def test_what_a_call_cost_is_counted_in_whole_units() -> None:
    """7 tokens at 1000 and 2 at 10 000 for a million are 0.027, spent by the graph at the provider."""
    clock = Clock()
    meter = await measured(clock, scripted(clock, *texts("a")))
    expected: Mapping[str, str] = {"graph": "react", "provider": "a"}
    assert meter.of(SPENT) == [(pytest.approx(0.027), expected)]
