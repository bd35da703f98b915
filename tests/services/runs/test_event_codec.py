"""Events as they are stored: read back exactly as they were written, under names that do not change."""

from collections.abc import Mapping
from typing import get_args
from uuid import UUID

import pytest

from services.errors import ERRORS, Failure
from services.events import (
    TERMINAL_EVENTS,
    GuardrailTripped,
    HandedOver,
    ReasoningDelta,
    Retracted,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunInterrupted,
    RunRestarted,
    RunStarted,
    TerminalEvent,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from services.guard import Action, Stage
from services.runs.event_codec import decode, encode, sound
from services.types import EventId, Interruption, Usage

USAGE = Usage(input_tokens=7, output_tokens=3, cached_tokens=2, reasoning_tokens=1, model_calls=2, estimated=True)
FAILURE = Failure(code="overloaded", message="Füll", status=503, retryable=True, retry_after_s=1.5, param="model")
ID = UUID("01890000-0000-7000-8000-000000000001")
QUESTION = {"action_requests": [{"name": "pay", "args": {"euros": 1.5, "to": None}}], "n": [1, True]}

EXAMPLES: Mapping[type, list[RunEvent]] = {
    RunStarted: [RunStarted(run_id=ID, thread_id=ID, graph="react", attempt=3)],
    RunRestarted: [
        RunRestarted(attempt=2, keep=None),
        RunRestarted(attempt=2, keep=EventId(attempt=1, seq=17)),
    ],
    TextDelta: [TextDelta(text='naïve "\u2028\x00\U0001f600'), TextDelta(text="x", source="planner")],
    ReasoningDelta: [ReasoningDelta(text="hm"), ReasoningDelta(text="hm", source="planner")],
    ToolStarted: [ToolStarted(call_id="c1", name="clock", arguments='{"zone": "Europe/Paris"}', source="a")],
    ToolFinished: [ToolFinished(call_id="c1", name="clock", ok=False, result="no", duration_s=0.1234567890123)],
    HandedOver: [HandedOver(from_agent="a", to_agent="b"), HandedOver(from_agent="a", to_agent="b", reason="r")],
    GuardrailTripped: [GuardrailTripped(stage=stage, rule="r", action=Action.BLOCK, message="m") for stage in Stage],
    Retracted: [Retracted(from_char=3, to_char=70, rule="r")],
    RunCompleted: [RunCompleted(finish_reason="length", usage=USAGE, duration_s=1.0)],
    RunFailed: [
        RunFailed(failure=FAILURE, partial=True, usage=USAGE, duration_s=1e-9),
        *(RunFailed(failure=kind("x").to_failure(), partial=False, usage=Usage(), duration_s=2.0) for kind in ERRORS),
    ],
    RunCancelled: [RunCancelled(reason="client_disconnected", usage=USAGE, duration_s=1.0)],
    RunInterrupted: [
        RunInterrupted(interrupts=(), usage=USAGE, duration_s=1.0),
        RunInterrupted(interrupts=(Interruption(id="i", value=QUESTION),) * 2, usage=USAGE, duration_s=1.0),
    ],
}


@pytest.mark.parametrize("kind", get_args(RunEvent), ids=lambda kind: kind.__name__)
def test_what_is_read_is_what_was_written(kind: type) -> None:
    """Every kind of event comes back equal, with every field of its own type, alone and among others."""
    for event in EXAMPLES[kind]:
        assert decode(encode([event])) == (event,)
        assert sound(event) is event
    everything = [event for examples in EXAMPLES.values() for event in examples]
    assert decode(encode(everything)) == tuple(everything)


def test_enums_come_back_as_enums() -> None:
    """A text that equals the member would compare equal, and then fail in whoever matches on it."""
    [event] = decode(encode([GuardrailTripped(stage=Stage.OUTPUT, rule="r", action=Action.REDACT, message="m")]))
    assert isinstance(event, GuardrailTripped)
    assert (type(event.stage), type(event.action)) == (Stage, Action)


def test_every_end_of_a_run_is_known_to_be_one() -> None:
    """A log whose last event is not recognised as terminal would be followed for ever."""
    assert set(TERMINAL_EVENTS) == set(get_args(TerminalEvent))
    assert set(TERMINAL_EVENTS) <= set(EXAMPLES)


def test_the_names_are_those_that_are_stored() -> None:
    """Logs outlive the code that wrote them, so what is stored is spelled out here."""
    assert encode([TextDelta(text="Hi")]) == b'[["text_delta",{"text":"Hi","source":null}]]'
    names = [encode([examples[0]]).split(b'"')[1].decode() for examples in EXAMPLES.values()]
    assert names == [
        "run_started",
        "run_restarted",
        "text_delta",
        "reasoning_delta",
        "tool_started",
        "tool_finished",
        "handed_over",
        "guardrail_tripped",
        "retracted",
        "run_completed",
        "run_failed",
        "run_cancelled",
        "run_interrupted",
    ]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("half \ud83d", "half \ufffd"),
        ({"\ud800": "\ud83d\ude00"}, {"\ufffd": "\U0001f600"}),
        (2**80, str(2**80)),
        ({1: (ID, 2.5, None)}, {"1": (ID, 2.5, None)}),
        ([Stage.INPUT, frozenset({1})], [Stage.INPUT, "frozenset({1})"]),
    ],
)
def test_what_json_cannot_say_is_said_in_other_words(value: object, told: object) -> None:
    """A graph may ask a person with anything; the event that tells of it can always be stored."""
    event = sound(RunInterrupted(interrupts=(Interruption(id="i", value=value),), usage=USAGE, duration_s=1.0))
    assert event.interrupts == (Interruption(id="i", value=told),)
    [stored] = decode(encode([event]))
    assert isinstance(stored, RunInterrupted)
