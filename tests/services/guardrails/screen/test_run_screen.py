"""What a run is about to show besides the text of a model: events, and how it ended."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args
from uuid import uuid4

import pytest

from services.errors import ModelServerError
from services.events import (
    GuardrailTripped,
    HandedOver,
    ReasoningDelta,
    RunEvent,
    RunStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from services.guard import Action, Stage
from services.guardrails.screen.output import _TEXTS, WITHHELD, OutputScreen
from services.guardrails.screen.policy import OutputPolicy
from services.telemetry.metrics import OUTPUT_WITHHELD, Metric
from services.types import Interruption, Message, RunOutcome, RunStatus, ToolCall, Usage
from tests.services.guardrails.screen.streams import screen_of

CARD = "4111 1111 1111 1111"
NOTICE = "[redacted: card number]"
NAMES = {"source", "call_id", "from_agent", "to_agent", "rule", "graph", "finish_reason", "reason"}
"""Fields that hold names of ours, or what the client itself has said."""

EVENTS: list[RunEvent] = [
    TextDelta(text=CARD, source="a"),
    ReasoningDelta(text=CARD),
    ToolStarted(call_id="1", name=CARD, arguments=f'{{"a": "{CARD}"}}'),
    ToolFinished(call_id="1", name="a", ok=True, result=CARD, duration_s=0.5),
    HandedOver(from_agent="a", to_agent="b", reason=CARD),
    GuardrailTripped(stage=Stage.INPUT, rule="a", action=Action.BLOCK, message=CARD),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_screened(event: RunEvent) -> None:
    """In every field that a model or a tool may have written."""
    shown = screen_of().event(event)
    assert CARD not in repr(shown)
    assert NOTICE in repr(shown)


def test_an_event_without_anything_in_it_stays_the_same_object() -> None:
    """Most do."""
    event = RunStarted(run_id=uuid4(), thread_id=uuid4(), graph="react")
    assert screen_of().event(event) is event
    quiet = HandedOver(from_agent="a", to_agent="b", reason="it is yours")
    assert screen_of().event(quiet) is quiet


def test_no_text_of_an_event_is_forgotten() -> None:
    """An event with a new text field must say here whether it is to be screened."""
    for kind in get_args(RunEvent):
        texts = {field.name for field in fields(kind) if field.type in (str, str | None)} - NAMES
        assert texts <= set(_TEXTS.get(kind, ())), kind


def test_the_end_of_a_run_is_screened() -> None:
    """Messages with their calls, the failure, and what a person is asked."""
    call = ToolCall(id="1", name="pay", arguments=f'{{"card": "{CARD}"}}')
    messages = (Message(role="assistant", content=CARD, tool_calls=(call,)), Message(role="tool", content=CARD))
    outcome = RunOutcome(
        status=RunStatus.FAILED,
        messages=messages,
        usage=Usage(output_tokens=3),
        failure=ModelServerError(f"refused {CARD}").to_failure(),
        interrupts=(Interruption(id="1", value={"calls": [{"args": {"card": CARD}}], "n": 1}),),
    )
    shown = screen_of().outcome(outcome)
    assert CARD not in repr(shown)
    assert repr(shown).count(NOTICE) == 5
    assert shown.usage == outcome.usage


def test_an_answer_that_a_graph_wrote_has_no_foreign_images() -> None:
    """A client shows it like a model's; what a tool returned is only read."""
    image = "![a](https://evil.example/p?q=1)"
    screen = screen_of()
    assert screen.kept(image) == image
    assert screen.event(TextDelta(text=image)).text == "[redacted: image]"
    messages = (Message(role="assistant", content=image), Message(role="tool", content=image))
    shown = screen.outcome(RunOutcome(status=RunStatus.COMPLETED, messages=messages, usage=Usage()))
    assert [message.content for message in shown.messages] == ["[redacted: image]", image]


def test_what_may_not_be_said_at_all_is_withheld_as_a_whole() -> None:
    """A result or an error has no end to be cut off at."""
    screen = screen_of(OutputPolicy(cards=Action.BLOCK))
    assert (screen.kept(f"Card {CARD}."), screen.kept("No card.")) == (WITHHELD, "No card.")


def test_what_was_released_is_not_screened_again() -> None:
    """The record has what was shown, though a second look might see more in it."""
    screen = screen_of()
    screen.passed(CARD)
    assert screen.kept(CARD) == CARD


def test_a_rule_that_fires_is_counted_once_for_each_run() -> None:
    """By rule and action, and by nothing that has no bound."""
    counted: list[tuple[str, float, Mapping[str, str]]] = []

    class Counting:
        def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
            counted.append((metric.name, value, labels))

    screen = OutputScreen(meter=Counting())
    for _ in range(2):
        run = screen_of(screen)
        assert [run.kept(f"{number}: {CARD}") for number in range(3)] == [f"{number}: {NOTICE}" for number in range(3)]
    assert counted == [(OUTPUT_WITHHELD.name, 1.0, {"rule": "personal.card", "action": "redact"})] * 2


@pytest.mark.parametrize("value", [None, 1, 1.5, True, "text", ["a", ("b",)], {"a": {"b": ["c"]}}])
def test_values_keep_their_shape(value: Any) -> None:
    """Arguments and questions are JSON, and stay what they are."""
    assert screen_of().written(value) == value
