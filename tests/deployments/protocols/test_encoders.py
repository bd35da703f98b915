"""The bytes of both protocols, exactly: a changed name on the wire is a broken client."""

from typing import get_args
from uuid import UUID

import orjson
import pytest
from openai.types.chat import ChatCompletionChunk

from deployments.protocols import PROTOCOLS
from deployments.protocols.chat_stream import EVENTS
from deployments.protocols.types import Answer, Encoder, Rules, Streamed, Whole
from services.errors import ModelThrottled
from services.types import (
    Action,
    EventBatch,
    GuardrailTripped,
    HandedOver,
    JsonObject,
    ReasoningDelta,
    Run,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
    RunStatus,
    Stage,
    TextDelta,
    ToolFinished,
    ToolStarted,
    Usage,
)

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
RULES = Rules(default_graph="react", max_messages=9, max_message_chars=99, max_run_s=60.0)
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


def encoder(protocol: str, **fields: object) -> Encoder:
    reply = PROTOCOLS[protocol].parse(ASK | fields, {}, RULES).reply
    assert isinstance(reply, Streamed)
    return reply.encoder(RUN, 1_795_000_000)


def batch(*events: RunEvent, first_seq: int = 1) -> EventBatch:
    return EventBatch(attempt=2, first_seq=first_seq, events=events)


CHAT_STREAM = b"""\
id: 2-1
event: run_started
data: {"run_id":"00000000-0000-0000-0000-000000000001","thread_id":"00000000-0000-0000-0000-000000000002",\
"model":"react","attempt":1}

id: 2-2
event: reasoning_delta
data: {"text":"hm"}

id: 2-3
event: tool_started
data: {"call_id":"c1","name":"calculator","arguments":"{\\"e\\":\\"2*2\\"}","source":null}

id: 2-4
event: tool_finished
data: {"call_id":"c1","name":"calculator","ok":true,"result":"4","duration_s":0.25,"source":"math"}

id: 2-5
event: handed_over
data: {"from_agent":"router","to_agent":"writer","reason":"prose"}

id: 2-6
event: guardrail_tripped
data: {"stage":"output","rule":"pii","action":"redact","message":"Removed."}

id: 2-7
event: text_delta
data: {"text":"Vier: \\"4\\"\\n","source":"writer"}

id: 2-8
event: run_completed
data: {"finish_reason":"stop","usage":{"input_tokens":7,"output_tokens":3,"cached_tokens":2,"reasoning_tokens":1,\
"model_calls":1,"estimated":false},"duration_s":1.5}

data: [DONE]

"""


def test_chat_stream_to_the_byte() -> None:
    """Every event's frame, ids counting through the batch, and the closing line."""
    assert encoder("chat_stream").encode(batch(*ONE_OF_EACH)) == CHAT_STREAM


def test_a_failed_and_a_cancelled_run_to_the_byte() -> None:
    """Both end with [DONE]; the error has what a client needs to decide, and the usage what it cost."""
    failed = RunFailed(failure=THROTTLED, partial=True, usage=Usage(), duration_s=0.5)
    none = b'"usage":{"input_tokens":0,"output_tokens":0,"cached_tokens":0,"reasoning_tokens":0,"model_calls":0'
    assert encoder("chat_stream").encode(batch(failed, first_seq=9)) == (
        b"id: 2-9\nevent: run_failed\n"
        b'data: {"error":{"code":"model_throttled","message":"Too fast.","retryable":true,"retry_after_s":2.5},'
        b'"partial":true,"next":"continue",' + none + b',"estimated":false},"duration_s":0.5}\n\ndata: [DONE]\n\n'
    )
    cancelled = RunCancelled(reason="client_disconnected", usage=Usage(), duration_s=0.5)
    assert encoder("chat_stream").encode(batch(cancelled, first_seq=9)) == (
        b"id: 2-9\nevent: run_cancelled\n"
        b'data: {"reason":"client_disconnected",' + none + b',"estimated":false},"duration_s":0.5}\n\ndata: [DONE]\n\n'
    )


def test_every_event_has_a_name() -> None:
    """An event that is added to the union needs an entry in the table."""
    assert set(EVENTS) == set(get_args(RunEvent))
    assert set(EVENTS) >= {type(event) for event in ONE_OF_EACH}


HEAD = (
    b'data: {"id":"chatcmpl-00000000000000000000000000000001","object":"chat.completion.chunk",'
    b'"created":1795000000,"model":"react","choices":['
)


def test_only_text_without_a_source_is_content() -> None:
    """A plan or a specialist's work on the way is shown as reasoning: the content is the answer alone."""
    events = (TextDelta(text="first a plan", source="planner"), TextDelta(text="The answer."))
    assert encoder("chat_completions", stream=True).encode(batch(*events)) == (
        HEAD + b'{"index":0,"delta":{"reasoning_content":"first a plan"},"finish_reason":null}]}\n\n'
        + HEAD + b'{"index":0,"delta":{"content":"The answer."},"finish_reason":null}]}\n\n'
    )  # fmt: skip


def test_chunks_to_the_byte() -> None:
    """Role, reasoning, named text, finish reason, [DONE]: and nothing of tools, hand-overs and guardrails."""
    assert encoder("chat_completions", stream=True).encode(batch(*ONE_OF_EACH)) == (
        HEAD + b'{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
        + HEAD + b'{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}]}\n\n'
        + HEAD + b'{"index":0,"delta":{"reasoning_content":"Vier: \\"4\\"\\n"},"finish_reason":null}]}\n\n'
        + HEAD + b'{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        + b"data: [DONE]\n\n"
    )  # fmt: skip


def test_the_usage_chunk_to_the_byte() -> None:
    """It comes last, with no choices, and counts in OpenAI's words."""
    wanted = encoder("chat_completions", stream=True, stream_options={"include_usage": True})
    assert wanted.encode(batch(ONE_OF_EACH[-1])) == (
        HEAD + b'{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        + HEAD + b'],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,'
        b'"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}\n\n'
        b"data: [DONE]\n\n"
    )  # fmt: skip


def test_an_error_chunk_to_the_byte() -> None:
    """A failure in the stream is an error without a finish reason and without [DONE]."""
    failed = RunFailed(failure=THROTTLED, partial=True, usage=Usage(), duration_s=0.5)
    assert encoder("chat_completions", stream=True).encode(batch(TextDelta(text="a"), failed)) == (
        HEAD + b'{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
        b'data: {"error":{"message":"Too fast.","type":"server_error","param":null,"code":"model_throttled",'
        b'"retryable":true,"retry_after_s":2.5,"next":"continue"}}\n\n'
    )


@pytest.mark.parametrize(
    ("before", "word"),
    [((), "none"), ((TextDelta(text="plan", source="planner"),), "none"), ((TextDelta(text="a"),), "continue")],
    ids=["nothing", "a plan", "text"],
)
def test_a_cancelled_completion_says_whether_there_is_something_to_go_on_from(
    before: tuple[RunEvent, ...], word: str
) -> None:
    """A cancellation does not know what was shown; the encoder does."""
    frames = encoder("chat_completions", stream=True)
    for event in before:
        frames.encode(batch(event))
    error = frames.encode(batch(RunCancelled(reason="deleted", usage=Usage(), duration_s=0.5)))
    assert orjson.loads(error.removeprefix(b"data: "))["error"]["next"] == word


@pytest.mark.parametrize(
    "text", ["", "\n\n", "data: [DONE]\n\n", "\u2028", "\x00\x1f", "🙂", "</script>", "\r\rid: 9-9"]
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_text_can_break_out_of_its_frame(protocol: str, text: str) -> None:
    """What a model writes cannot end its own line, nor forge an event: it comes out of the JSON as it went in."""
    fields = {"stream": True} if protocol == "chat_completions" else {}
    body = encoder(protocol, **fields).encode(batch(TextDelta(text=text)))
    (data,) = [line for line in body.split(b"\n") if line.startswith(b"data: ")]
    assert body.count(b"\n\n") == 1
    assert b"\r" not in body
    assert text in _strings(orjson.loads(data[6:]))


def _strings(value: object) -> list[object]:
    if isinstance(value, dict):
        return [text for child in value.values() for text in _strings(child)]
    return [text for child in value for text in _strings(child)] if isinstance(value, list) else [value]


def test_chunks_are_the_sdks_own_type() -> None:
    """Each chunk validates against the SDK's model, strictly."""
    body = encoder("chat_completions", stream=True, stream_options={"include_usage": True}).encode(batch(*ONE_OF_EACH))
    lines = [line[6:] for line in body.split(b"\n\n") if line and not line.endswith(b"[DONE]")]
    chunks = [ChatCompletionChunk.model_validate_json(line, strict=True) for line in lines]
    assert {chunk.id for chunk in chunks} == {f"chatcmpl-{RUN_ID.hex}"}


def test_a_whole_completion_to_the_byte() -> None:
    """Reasoning is there only when there was some."""
    reply = PROTOCOLS["chat_completions"].parse(ASK, {}, RULES).reply
    assert isinstance(reply, Whole)
    completed = RunCompleted(finish_reason="length", usage=USAGE, duration_s=1.5)
    assert reply.render(RUN, 1_795_000_000, Answer(text="4", reasoning="", completed=completed)) == (
        b'{"id":"chatcmpl-00000000000000000000000000000001","object":"chat.completion","created":1795000000,'
        b'"model":"react","choices":[{"index":0,"message":{"role":"assistant","content":"4","refusal":null},'
        b'"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":3,'
        b'"total_tokens":10,"prompt_tokens_details":{"cached_tokens":2},'
        b'"completion_tokens_details":{"reasoning_tokens":1}}}'
    )
