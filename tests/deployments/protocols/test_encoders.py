"""The bytes of `/chat/stream`, exactly: a changed name on the wire is a broken client."""

from typing import get_args

import orjson
import pytest

from deployments.protocols.chat_stream import EVENTS
from services.events import Retracted, RunCancelled, RunEvent, RunFailed, RunInterrupted, RunRestarted, TextDelta
from services.types import EventId, Usage
from tests.deployments.protocols.samples import (
    ONE_OF_EACH,
    QUESTION,
    SURE,
    THROTTLED,
    batch,
    encoder,
)

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


@pytest.mark.parametrize(("keep", "shown"), [(None, b"null"), (EventId(attempt=1, seq=41), b'"1-41"')])
def test_a_restart_to_the_byte(keep: EventId | None, shown: bytes) -> None:
    """It says which event is the last that holds."""
    restarted = RunRestarted(attempt=2, keep=keep)
    assert encoder("chat_stream").encode(batch(restarted, first_seq=0)) == (
        b'id: 2-0\nevent: restarted\ndata: {"attempt":2,"from":' + shown + b"}\n\n"
    )


def test_a_retraction_to_the_byte() -> None:
    """Which characters of the answer are taken back, and for which rule."""
    taken = Retracted(from_char=3, to_char=70, rule="semantic.judge")
    assert encoder("chat_stream").encode(batch(taken, first_seq=9)) == (
        b'id: 2-9\nevent: retract\ndata: {"from_char":3,"to_char":70,"rule":"semantic.judge"}\n\n'
    )


def test_an_interrupted_run_to_the_byte() -> None:
    """What is asked comes as it is, and ends the stream."""
    asked = RunInterrupted(interrupts=(SURE, QUESTION), usage=Usage(), duration_s=0.5)
    assert encoder("chat_stream").encode(batch(asked, first_seq=9)) == (
        b"id: 2-9\nevent: run_interrupted\n"
        b'data: {"interrupts":[{"id":"i1","value":"Are you sure?"},{"id":"i2","value":{"action_requests":'
        b'[{"name":"send_email","args":{"to":"eve"}},{"name":"f","args":{},"description":"Careful."},{"action":"x"}]}}],'
        b'"usage":{"input_tokens":0,"output_tokens":0,"cached_tokens":0,"reasoning_tokens":0,"model_calls":0,'
        b'"estimated":false},"duration_s":0.5}\n\ndata: [DONE]\n\n'
    )


def test_every_event_has_a_name() -> None:
    """An event that is added to the union needs an entry in the table."""
    assert set(EVENTS) == set(get_args(RunEvent))
    assert set(EVENTS) >= {type(event) for event in ONE_OF_EACH}


STREAMED: dict[str, dict[str, object]] = {"chat_stream": {}, "chat_completions": {"stream": True}}


@pytest.mark.parametrize(
    "text", ["", "\n\n", "data: [DONE]\n\n", "\u2028", "\x00\x1f", "🙂", "</script>", "\r\rid: 9-9"]
)
@pytest.mark.parametrize("protocol", STREAMED)
def test_no_text_can_break_out_of_its_frame(protocol: str, text: str) -> None:
    """What a model writes cannot end its own line, nor forge an event: it comes out of the JSON as it went in."""
    body = encoder(protocol, **STREAMED[protocol]).encode(batch(TextDelta(text=text)))
    (data,) = [line for line in body.split(b"\n") if line.startswith(b"data: ")]
    assert body.count(b"\n\n") == 1
    assert b"\r" not in body
    assert text in _strings(orjson.loads(data[6:]))


def _strings(value: object) -> list[object]:
    if isinstance(value, dict):
        return [text for child in value.values() for text in _strings(child)]
    return [text for child in value for text in _strings(child)] if isinstance(value, list) else [value]
