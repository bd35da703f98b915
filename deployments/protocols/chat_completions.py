"""OpenAI's Chat Completions, `POST /v1/chat/completions`, streamed and whole: for the openai SDKs and what builds on them.

The protocol is stateless: the whole history comes with each request and the thread is ephemeral. With the header
`X-Thread-Id: new` the thread is durable and begins with the messages that were sent; with a thread's id, only the newest
user message is taken.

Tools run on the server and are not shown: a `tool_calls` delta would make the client run them. A run that fails, or is
cancelled, after the first byte sends `data: {"error": ...}` and then closes, without a finish reason and without
`[DONE]`: the SDKs raise APIError, and nobody takes the part for the whole. The same is sent when the run is taken over by
another replica and what was shown of the answer is not the beginning of it any more. A question to a person is sent as the
answer's text; what is decided is sent to the thread by `/chat/stream`.

The SDKs cannot take back what was shown: an answer that is retracted goes no further, and ends with `content_filter`. Its
chunk `{"choices": [{"delta": {}, …}], "retract": {…}}` says the range to those who look for it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import orjson
from pydantic import Field

from deployments.protocols.openai_errors import cancelled, error_body
from deployments.protocols.questions import question_text
from deployments.protocols.types import Answer, ClientProtocol, Encoder, Rules, Streamed, Turn, Whole
from deployments.protocols.unsupported import refuse_unsupported
from deployments.protocols.validation import (
    Body,
    MaxTokens,
    SamplingBody,
    check_messages,
    thread_id_from_header,
    validate,
)
from services.errors import AnswerRestarted, Failure
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
    RunStarted,
    TextDelta,
)
from services.types import EventId, Interruption, JsonObject, Message, Role, Run, RunRequest, Usage

_RESTARTED = AnswerRestarted(
    "The replica that wrote this answer was lost, and another one writes it anew. Send the request again."
).to_failure()

_APART = "\n\n"
"""Between what was said and what is asked."""

THREAD_HEADER = "x-thread-id"
NEW_THREAD = "new"


class TextPart(Body):
    type: Literal["text"]
    text: str


class CompletionMessage(Body):
    """A message as clients send it, and as they send our own answers back: with null for what does not apply."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None
    name: str | None = Field(default=None, max_length=64)
    refusal: str | None = None
    reasoning_content: str | None = None
    annotations: list[Any] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: list[Any] | None = Field(default=None, max_length=0)

    def to_message(self) -> Message:
        role: Role = "system" if self.role == "developer" else self.role
        content = self.content or ""
        if not isinstance(content, str):
            content = "\n".join(part.text for part in content)
        return Message(role=role, content=content, name=self.name)


class StreamOptions(Body):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class CompletionBody(SamplingBody):
    model: str
    messages: list[CompletionMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: MaxTokens | None = Field(default=None, description="wins over max_tokens")


def parse(body: JsonObject, headers: Mapping[str, str], rules: Rules) -> Turn:
    """Return the turn that a body of `/v1/chat/completions` asks for.

    Raises InvalidRequest, and UnsupportedParameter for what OpenAI defines and Mainstay does not offer.
    """
    checked = validate(CompletionBody, refuse_unsupported(body))
    messages = tuple(message.to_message() for message in checked.messages)
    check_messages(messages, rules, last_is_user=False)
    thread = headers.get(THREAD_HEADER)
    thread_id = None if thread in (None, NEW_THREAD) else thread_id_from_header(headers, THREAD_HEADER)
    if thread_id is not None:  # it has the rest already, its system messages included
        messages = tuple(message for message in messages if message.role == "user")[-1:]
    request = RunRequest(
        graph=checked.model,
        messages=messages,
        thread_id=thread_id,
        timeout_s=checked.time_limit_s(rules),
        ephemeral=thread is None,
        options=checked.options(checked.max_completion_tokens),
        metadata=checked.metadata or {},
    )
    if not checked.stream:
        return Turn(request=request, reply=Whole(render))
    with_usage = bool(checked.stream_options and checked.stream_options.include_usage)
    return Turn(request=request, reply=Streamed(partial(_encoder, with_usage)))


def _encoder(with_usage: bool, run: Run, created: int) -> Encoder:
    return ChunkEncoder(run=run, created=created, with_usage=with_usage)


class ChunkEncoder:
    """Chunks of a streamed completion. What is the same in each is rendered once."""

    __slots__ = (
        "_begun",
        "_content",
        "_head",
        "_last_shown",
        "_reasoning",
        "_retracted",
        "_shown",
        "_with_usage",
        "over",
    )

    def __init__(self, *, run: Run, created: int, with_usage: bool) -> None:
        head = orjson.dumps(
            {"id": completion_id(run), "object": "chat.completion.chunk", "created": created, "model": run.graph}
        )
        self._head = b"data: " + head[:-1]
        self._content, self._reasoning = (
            self._head + b',"choices":[{"index":0,"delta":{"' + field + b'":'
            for field in (b"content", b"reasoning_content")
        )
        self._begun = self._shown = self._retracted = self.over = False
        self._last_shown: EventId | None = None
        self._with_usage = with_usage

    def encode(self, batch: EventBatch) -> bytes:
        if self.over:
            return b""
        return b"".join([self._frame(event) for event in self._unless_restarted(batch)])

    def _unless_restarted(self, batch: EventBatch) -> Sequence[RunEvent]:
        """What of a batch can be shown: a restart that takes back what was shown before it is the last of all.

        The protocol has no words for that, and to go on would splice two answers together.
        """
        for seq, event in enumerate(batch.events, batch.first_seq):
            if isinstance(event, TextDelta | ReasoningDelta):
                self._last_shown = EventId(attempt=batch.attempt, seq=seq)
            elif isinstance(event, RunRestarted) and self._takes_back(event):
                self.over = True
                return batch.events[: seq - batch.first_seq + 1]
        return batch.events

    def _takes_back(self, event: RunRestarted) -> bool:
        return self._last_shown is not None and (event.keep is None or event.keep < self._last_shown)

    def _frame(self, event: RunEvent) -> bytes:
        match event:
            case TextDelta(source=None) if self._retracted:
                return b""
            case TextDelta(text=text, source=None):
                self._shown = True
                return self._content + orjson.dumps(text) + b'},"finish_reason":null}]}\n\n'
            case TextDelta(text=text) | ReasoningDelta(text=text):  # a plan or a specialist's work is not the answer
                return self._reasoning + orjson.dumps(text) + b'},"finish_reason":null}]}\n\n'
            case RunStarted() if not self._begun:  # once, also where a run begins anew: the SDKs join what comes twice
                self._begun = True
                return self._choice({"role": "assistant", "content": ""}, None)
            case Retracted():
                return self._retract(event)
            case RunCompleted(finish_reason=reason, usage=usage):
                ended = "content_filter" if self._retracted else reason
                return self._choice({}, ended) + self._usage(usage) + b"data: [DONE]\n\n"
            case RunRestarted() if self.over:
                return _error(_RESTARTED, partial=self._shown)
            case RunFailed(failure=failure, partial=shown):
                return _error(failure, partial=shown)
            case RunCancelled(reason=cause):
                return _error(cancelled(cause), partial=self._shown)
            case RunInterrupted(interrupts=interrupts, usage=usage):
                return self._asked(interrupts, usage)
            case _:
                return b""

    def _retract(self, event: Retracted) -> bytes:
        self._retracted = True
        taken = {"from_char": event.from_char, "to_char": event.to_char, "rule": event.rule}
        nothing = [{"index": 0, "delta": {}, "finish_reason": None}]
        return self._head + b"," + orjson.dumps({"choices": nothing, "retract": taken})[1:] + b"\n\n"

    def _asked(self, interrupts: Sequence[Interruption], usage: Usage) -> bytes:
        """A question to a person is the answer's text: the protocol has no other place for it."""
        text = orjson.dumps(_APART * self._shown + question_text(interrupts))
        question = self._content + text + b'},"finish_reason":null}]}\n\n'
        return question + self._choice({}, "stop") + self._usage(usage) + b"data: [DONE]\n\n"

    def _choice(self, delta: JsonObject, finish_reason: str | None) -> bytes:
        choices = orjson.dumps([{"index": 0, "delta": delta, "finish_reason": finish_reason}])
        return self._head + b',"choices":' + choices + b"}\n\n"

    def _usage(self, usage: Usage) -> bytes:
        if not self._with_usage:
            return b""
        return self._head + b',"choices":[],"usage":' + orjson.dumps(usage_json(usage)) + b"}\n\n"


def render(run: Run, created: int, answer: Answer) -> bytes:
    """Return a whole completion."""
    text, finish_reason = answer.text, "stop"
    if isinstance(answer.ending, RunInterrupted):
        text += _APART * bool(text) + question_text(answer.ending.interrupts)
    else:
        finish_reason = answer.ending.finish_reason
    message: JsonObject = {"role": "assistant", "content": text, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    return orjson.dumps(
        {
            "id": completion_id(run),
            "object": "chat.completion",
            "created": created,
            "model": run.graph,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
            "usage": usage_json(answer.ending.usage),
        }
    )


def completion_id(run: Run) -> str:
    return f"chatcmpl-{run.id.hex}"


def _error(failure: Failure, *, partial: bool) -> bytes:
    return b"data: " + orjson.dumps(error_body(failure, partial=partial)) + b"\n\n"


def usage_json(usage: Usage) -> JsonObject:
    """Tokens in OpenAI's words."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


PROTOCOL = ClientProtocol(
    path="/v1/chat/completions", summary="OpenAI's Chat Completions", body=CompletionBody, parse=parse
)
