"""A judge over a route: what takes its provider out of service."""

import itertools
from collections.abc import Iterator

import pytest
from langchain_core.messages import AIMessage

from evaluation.asking import Asking
from evaluation.criteria.types import GRADE, Part, Rubric
from evaluation.judges import open_judge
from services.errors import ModelOutputLoops, ModelOutputTooLarge, ModelUnavailable
from services.llm.route import Route
from services.llm.types import ModelCall, TextSink
from services.resilience.breaker import Breaker, BreakerState

ASKING = Asking(style="structured", max_chars=1_000, max_tokens=64, temperature=0.0, timeout_s=5.0)
RUBRIC = Rubric(name="kindness", version="1", scale=GRADE, task="Grade how kind it is.", question="Is it kind?")
PARTS = (Part(label="Answer", text="Of course, dear."),)
CONSECUTIVE_FAILURES = 5


class Endless:
    """A provider that stops for nobody."""

    name, model = "endless", "m"

    def __init__(self, said: Iterator[str]) -> None:
        self.said = said
        self.asked = 0

    async def generate(self, call: ModelCall, sink: TextSink) -> AIMessage:
        self.asked += 1
        for piece in self.said:
            sink.text(piece)
        raise AssertionError("nobody stopped it")

    async def aclose(self) -> None: ...


async def test_a_judge_that_answers_without_end_is_not_asked_for_long() -> None:
    """It was told how much it may say, so to say more is its own doing. One call is still let through each second."""
    provider = Endless(f"word{number} " for number in itertools.count())
    gateway, judge = open_judge(Route.of(provider, breaker=Breaker("endless/m", clock=lambda: 0.0)), ASKING)
    for _ in range(CONSECUTIVE_FAILURES + 1):
        with pytest.raises(ModelOutputTooLarge):
            await judge.judge(RUBRIC, PARTS)
    with pytest.raises(ModelUnavailable):
        await judge.judge(RUBRIC, PARTS)
    assert provider.asked == CONSECUTIVE_FAILURES + 1
    await gateway.aclose()


async def test_a_judge_that_repeats_itself_stays_in_service() -> None:
    """A text that is judged can bring that about, and must not take the judge away from the others."""
    gateway, judge = open_judge(Route.of(Endless(itertools.repeat("again "))), ASKING)
    for _ in range(20):
        with pytest.raises(ModelOutputLoops):
            await judge.judge(RUBRIC, PARTS)
    assert gateway.routes[0].breaker.state is BreakerState.CLOSED
    await gateway.aclose()
