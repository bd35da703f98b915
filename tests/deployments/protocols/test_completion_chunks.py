"""The bytes of Chat Completions, exactly, and what becomes there of restarts and of questions to a person."""

from collections.abc import Sequence

import orjson
import pytest
from openai.types.chat import ChatCompletionChunk

from deployments.protocols import PROTOCOLS
from deployments.protocols.types import Answer, Whole
from services.events import (
    EventBatch,
    ReasoningDelta,
    Retracted,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunInterrupted,
    RunRestarted,
    TextDelta,
)
from services.types import EventId, JsonObject, Usage
from tests.deployments.protocols.samples import (
    ASK,
    ONE_OF_EACH,
    QUESTION,
    RULES,
    RUN,
    RUN_ID,
    SURE,
    THROTTLED,
    USAGE,
    batch,
    encoder,
)

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


def test_a_retraction_to_the_byte() -> None:
    """What was shown stays shown: nothing of the answer follows, and it ends as filtered, whatever the graph makes of it."""
    taken = Retracted(from_char=1, to_char=3, rule="semantic.x")
    said = TextDelta(text="more"), TextDelta(text="plan", source="planner")
    assert encoder("chat_completions", stream=True).encode(batch(taken, *said, ONE_OF_EACH[-1])) == (
        HEAD + b'{"index":0,"delta":{},"finish_reason":null}],"retract":{"from_char":1,"to_char":3,"rule":"semantic.x"}}\n\n'
        + HEAD + b'{"index":0,"delta":{"reasoning_content":"plan"},"finish_reason":null}]}\n\n'
        + HEAD + b'{"index":0,"delta":{},"finish_reason":"content_filter"}]}\n\n'
        + b"data: [DONE]\n\n"
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
    assert reply.render(RUN, 1_795_000_000, Answer(text="4", reasoning="", ending=completed)) == (
        b'{"id":"chatcmpl-00000000000000000000000000000001","object":"chat.completion","created":1795000000,'
        b'"model":"react","choices":[{"index":0,"message":{"role":"assistant","content":"4","refusal":null},'
        b'"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":3,'
        b'"total_tokens":10,"prompt_tokens_details":{"cached_tokens":2},'
        b'"completion_tokens_details":{"reasoning_tokens":1}}}'
    )


def shown(*batches: EventBatch) -> list[JsonObject]:
    """What a client reads of them."""
    frames = encoder("chat_completions", stream=True)
    lines = b"".join(frames.encode(part) for part in batches).split(b"\n\n")
    return [orjson.loads(line[6:]) for line in lines if line and not line.endswith(b"[DONE]")]


def contents(chunks: Sequence[JsonObject]) -> list[str]:
    return [chunk["choices"][0]["delta"].get("content") for chunk in chunks if chunk.get("choices")]


STARTED = batch(ONE_OF_EACH[0], TextDelta(text="one "), TextDelta(text="two"), first_seq=0, attempt=1)


@pytest.mark.parametrize("keep", [2, 9], ids=["to the last text", "to something later"])
def test_a_restart_behind_what_was_shown_is_not_seen(keep: int) -> None:
    """The answer goes on where it was: nothing of it was taken back."""
    restarted = RunRestarted(attempt=2, keep=EventId(attempt=1, seq=keep))
    chunks = shown(STARTED, batch(restarted, TextDelta(text=" three"), ONE_OF_EACH[-1], first_seq=0))
    assert contents(chunks)[:-1] == ["", "one ", "two", " three"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_restart_before_anything_was_shown_is_not_seen() -> None:
    """The run begins anew, and its role has been sent already: the SDKs would join what comes twice."""
    begun, again = ONE_OF_EACH[0], RunRestarted(attempt=2, keep=None)
    tool = ONE_OF_EACH[2]
    chunks = shown(
        batch(begun, tool, first_seq=0, attempt=1), batch(again, begun, TextDelta(text="one"), first_seq=0, attempt=2)
    )
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "one"},
    ]


@pytest.mark.parametrize("keep", [None, EventId(attempt=1, seq=0), EventId(attempt=1, seq=1)], ids=str)
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in several"])
def test_a_restart_that_takes_text_back_is_an_error_and_then_nothing(keep: EventId | None, together: bool) -> None:
    """Two answers are not spliced: what comes behind the error, whenever it comes, is not sent, and the stream is over."""
    frames = encoder("chat_completions", stream=True)
    rest: list[RunEvent] = [RunRestarted(attempt=2, keep=keep), TextDelta(text="other"), ONE_OF_EACH[-1]]
    before = frames.encode(STARTED)
    assert not frames.over
    parts = [batch(*rest, first_seq=0)] if together else [batch(rest[n], first_seq=n) for n in range(3)]
    after = [frames.encode(part) for part in parts]
    assert frames.over
    assert b"two" in before
    assert after[1:] == [b""] * (len(parts) - 1)
    error = orjson.loads(after[0].removeprefix(b"data: "))["error"]
    assert (error["code"], error["next"], error["retryable"]) == ("answer_restarted", "continue", True)
    assert after[0].count(b"\n\n") == 1


@pytest.mark.parametrize("delta", [ReasoningDelta(text="hm"), TextDelta(text="a plan", source="planner")])
def test_reasoning_that_was_shown_cannot_be_taken_back_either(delta: RunEvent) -> None:
    """A client has it on its screen. There is nothing of the answer yet to go on from, so: the same again."""
    restarted = RunRestarted(attempt=2, keep=EventId(attempt=1, seq=0))
    chunks = shown(batch(delta, first_seq=1, attempt=1), batch(restarted, first_seq=0))
    assert (chunks[-1]["error"]["code"], chunks[-1]["error"]["next"]) == ("answer_restarted", "retry")


def test_a_second_restart_may_take_back_what_the_first_has_brought() -> None:
    """What came after the first one is newer than the checkpoint that both go back to."""
    keep = EventId(attempt=1, seq=2)
    first = batch(RunRestarted(attempt=2, keep=keep), first_seq=0)
    second = batch(RunRestarted(attempt=3, keep=keep), first_seq=0, attempt=3)
    assert "error" not in shown(STARTED, first, second)[-1]
    assert "error" in shown(STARTED, first, batch(TextDelta(text="three"), first_seq=1), second)[-1]


ASKED = (
    "Are you sure?\n"
    'This needs your decision: send_email({"to":"eve"})\n'
    "This needs your decision: f({})\nCareful.\n"
    'This needs your decision: {"action":"x"}'
)


@pytest.mark.parametrize(("said", "apart"), [((), ""), ((TextDelta(text="Well."),), "\n\n")])
def test_a_question_is_the_answers_text(said: tuple[RunEvent, ...], apart: str) -> None:
    """One line for each call, also of a graph that asks in a shape of its own; behind what was said, and the answer stops."""
    interrupted = RunInterrupted(interrupts=(SURE, QUESTION), usage=USAGE, duration_s=0.5)
    frames = encoder("chat_completions", stream=True, stream_options={"include_usage": True})
    body = frames.encode(batch(*said, interrupted))
    assert body.endswith(b"data: [DONE]\n\n")
    *_, text, finish, usage = [orjson.loads(line[6:]) for line in body.split(b"\n\n")[:-2]]
    assert contents([text]) == [apart + ASKED]
    assert finish["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert usage["usage"]["total_tokens"] == 10
    reply = PROTOCOLS["chat_completions"].parse(ASK, {}, RULES).reply
    assert isinstance(reply, Whole)
    before = "Well." if said else ""
    whole = orjson.loads(reply.render(RUN, 0, Answer(text=before, reasoning="", ending=interrupted)))
    assert whole["choices"][0]["message"]["content"] == before + apart + ASKED
    assert whole["choices"][0]["finish_reason"] == "stop"
