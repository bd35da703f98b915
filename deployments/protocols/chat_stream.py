"""Mainstay's own protocol, `POST /chat/stream`: messages in, every event of the run out, `data: [DONE]` last.

Each event is `id: {attempt}-{seq}`, `event: {name}` and one line of JSON. All events are sent, so a client sees tools at
work, hand-overs between agents and a guardrail's word, none of which Chat Completions has a shape for.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import orjson

from deployments.protocols.next_step import next_step
from deployments.protocols.run_body import RunBody
from deployments.protocols.types import ClientProtocol, Rules, Streamed, Turn
from deployments.protocols.validation import validate
from services.errors import Failure
from services.events import (
    EventBatch,
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
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from services.types import Interruption, JsonObject, OnDisconnect, Run, Usage

DONE = b"data: [DONE]\n\n"


class ChatStreamBody(RunBody):
    on_disconnect: Literal["cancel", "continue"] = "cancel"


def parse(body: JsonObject, headers: Mapping[str, str], rules: Rules) -> Turn:
    """Return the turn that a body of `/chat/stream` asks for. Raises InvalidRequest."""
    checked = validate(ChatStreamBody, body)
    request = checked.to_request(rules, on_disconnect=OnDisconnect(checked.on_disconnect))
    return Turn(request=request, reply=Streamed(event_encoder))


class EventEncoder:
    """Frames of `/chat/stream`."""

    __slots__ = ()

    over = False

    def encode(self, batch: EventBatch) -> bytes:
        frames = []
        attempt = batch.attempt
        for seq, event in enumerate(batch.events, batch.first_seq):
            name, payload = EVENTS[type(event)]
            frames.append(b"id: %d-%d\nevent: %b\ndata: %b\n\n" % (attempt, seq, name, orjson.dumps(payload(event))))
        if batch.terminal:
            frames.append(DONE)
        return b"".join(frames)


def event_encoder(run: Run, created: int) -> EventEncoder:
    """Return the encoder of one stream of a run."""
    return EventEncoder()


def _run_started(event: RunStarted) -> JsonObject:
    return {"run_id": event.run_id, "thread_id": event.thread_id, "model": event.graph, "attempt": event.attempt}


def _restarted(event: RunRestarted) -> JsonObject:
    return {"attempt": event.attempt, "from": None if event.keep is None else str(event.keep)}


def _delta(event: TextDelta | ReasoningDelta) -> JsonObject:
    return {"text": event.text} if event.source is None else {"text": event.text, "source": event.source}


def _tool_started(event: ToolStarted) -> JsonObject:
    return {"call_id": event.call_id, "name": event.name, "arguments": event.arguments, "source": event.source}


def _tool_finished(event: ToolFinished) -> JsonObject:
    return {
        "call_id": event.call_id,
        "name": event.name,
        "ok": event.ok,
        "result": event.result,
        "duration_s": event.duration_s,
        "source": event.source,
    }


def _handed_over(event: HandedOver) -> JsonObject:
    return {"from_agent": event.from_agent, "to_agent": event.to_agent, "reason": event.reason}


def _guardrail_tripped(event: GuardrailTripped) -> JsonObject:
    return {"stage": event.stage, "rule": event.rule, "action": event.action, "message": event.message}


def _retracted(event: Retracted) -> JsonObject:
    return {"from_char": event.from_char, "to_char": event.to_char, "rule": event.rule}


def _run_completed(event: RunCompleted) -> JsonObject:
    return {"finish_reason": event.finish_reason, "usage": usage_json(event.usage), "duration_s": event.duration_s}


def _run_failed(event: RunFailed) -> JsonObject:
    return {
        "error": failure_json(event.failure),
        "partial": event.partial,
        "next": next_step(event.failure, partial=event.partial),
        "usage": usage_json(event.usage),
        "duration_s": event.duration_s,
    }


def _run_cancelled(event: RunCancelled) -> JsonObject:
    return {"reason": event.reason, "usage": usage_json(event.usage), "duration_s": event.duration_s}


def _run_interrupted(event: RunInterrupted) -> JsonObject:
    return {
        "interrupts": interrupts_json(event.interrupts),
        "usage": usage_json(event.usage),
        "duration_s": event.duration_s,
    }


def interrupts_json(interrupts: Sequence[Interruption]) -> list[JsonObject]:
    """What a run asks a person."""
    return [{"id": interruption.id, "value": interruption.value} for interruption in interrupts]


def usage_json(usage: Usage) -> JsonObject:
    """Tokens as `/chat/stream` and `GET /runs/{id}` show them."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "model_calls": usage.model_calls,
        "estimated": usage.estimated,
    }


def failure_json(failure: Failure) -> JsonObject:
    """A failure as an event and `GET /runs/{id}` show it; `retry_after_s` is in seconds or null."""
    return {
        "code": failure.code,
        "message": failure.message,
        "retryable": failure.retryable,
        "retry_after_s": failure.retry_after_s,
    }


EVENTS: Mapping[type[RunEvent], tuple[bytes, Callable[[Any], JsonObject]]] = {
    RunStarted: (b"run_started", _run_started),
    RunRestarted: (b"restarted", _restarted),
    TextDelta: (b"text_delta", _delta),
    ReasoningDelta: (b"reasoning_delta", _delta),
    ToolStarted: (b"tool_started", _tool_started),
    ToolFinished: (b"tool_finished", _tool_finished),
    HandedOver: (b"handed_over", _handed_over),
    GuardrailTripped: (b"guardrail_tripped", _guardrail_tripped),
    Retracted: (b"retract", _retracted),
    RunCompleted: (b"run_completed", _run_completed),
    RunFailed: (b"run_failed", _run_failed),
    RunCancelled: (b"run_cancelled", _run_cancelled),
    RunInterrupted: (b"run_interrupted", _run_interrupted),
}

PROTOCOL = ClientProtocol(
    path="/chat/stream", summary="Run one turn and stream its events", body=ChatStreamBody, parse=parse
)
