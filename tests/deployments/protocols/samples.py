"""What the tests of the protocols share: one run, one of each event, and how to encode them."""

from uuid import UUID

from deployments.protocols import PROTOCOLS
from deployments.protocols.types import Encoder, Rules, Streamed
from services.errors import ModelThrottled
from services.events import (
    EventBatch,
    GuardrailTripped,
    HandedOver,
    ReasoningDelta,
    RunCompleted,
    RunEvent,
    RunStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from services.guard import Action, Stage
from services.types import Interruption, JsonObject, Run, RunStatus, Usage

RUN_ID, THREAD_ID = UUID(int=1), UUID(int=2)
RUN = Run(
    id=RUN_ID,
    thread_id=THREAD_ID,
    tenant_id="acme",
    user_id="ada",
    graph="react",
    status=RunStatus.RUNNING,
    messages=(),
)
RULES = Rules(default_graph="react", max_messages=9, max_message_chars=99, max_run_s=60.0, check_webhook=lambda _: None)
USAGE = Usage(input_tokens=7, output_tokens=3, cached_tokens=2, reasoning_tokens=1, model_calls=1)
ASK: JsonObject = {"model": "react", "messages": [{"role": "user", "content": "Hi"}]}
THROTTLED = ModelThrottled("Too fast.", retry_after_s=2.5).to_failure()

ONE_OF_EACH: tuple[RunEvent, ...] = (
    RunStarted(run_id=RUN_ID, thread_id=THREAD_ID, graph="react"),
    ReasoningDelta(text="hm"),
    ToolStarted(call_id="c1", name="calculator", arguments='{"e":"2*2"}'),
    ToolFinished(call_id="c1", name="calculator", ok=True, result="4", duration_s=0.25, source="math"),
    HandedOver(from_agent="router", to_agent="writer", reason="prose"),
    GuardrailTripped(stage=Stage.OUTPUT, rule="pii", action=Action.REDACT, message="Removed."),
    TextDelta(text='Vier: "4"\n', source="writer"),
    RunCompleted(finish_reason="stop", usage=USAGE, duration_s=1.5),
)


SURE = Interruption(id="i1", value="Are you sure?")
QUESTION = Interruption(
    id="i2",
    value={
        "action_requests": [
            {"name": "send_email", "args": {"to": "eve"}},
            {"name": "f", "args": {}, "description": "Careful."},
            {"action": "x"},
        ]
    },
)


def encoder(protocol: str, **fields: object) -> Encoder:
    reply = PROTOCOLS[protocol].parse(ASK | fields, {}, RULES).reply
    assert isinstance(reply, Streamed)
    return reply.encoder(RUN, 1_795_000_000)


def batch(*events: RunEvent, first_seq: int = 1, attempt: int = 2) -> EventBatch:
    return EventBatch(attempt=attempt, first_seq=first_seq, events=events)
