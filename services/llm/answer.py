"""One streamed answer, put together: chunks of the chat-completions stream in, one AIMessage out."""

from typing import Any

import orjson
from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata

from services.errors import ModelStreamBroken
from services.llm.finish import known_finish_reason
from services.llm.types import TextSink

MAX_TOKEN_COUNT = 2**53
"""What a provider may report; more would be an error of its own, and would not fit where bills are kept."""


class AnswerBuilder:
    """Collects one answer. Text and reasoning go to the sink at once; the rest is kept for the final message.

    `feed` takes one parsed chunk. Only the first choice counts: we never ask for more. What a chunk holds is checked before
    it is used; a chunk of another shape raises ModelStreamBroken, or the TypeError, AttributeError, LookupError or ValueError
    of reading it, which the caller translates.
    """

    def __init__(self, sink: TextSink) -> None:
        self._sink = sink
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._usage: UsageMetadata | None = None
        self._model: str | None = None
        self._id: str | None = None
        self.finish_reason: str | None = None

    def feed(self, chunk: dict[str, Any]) -> None:
        """Take one chunk."""
        if choices := chunk.get("choices"):
            choice = choices[0]
            if delta := choice.get("delta") or choice.get("message"):
                self._take_delta(delta)
            if reason := choice.get("finish_reason"):
                self.finish_reason = _string(reason)
        if usage := chunk.get("usage"):
            self._usage = _usage(usage)
        if self._model is None:
            self._model = _string(chunk.get("model") or "")
            self._id = _string(chunk.get("id") or "") or None

    def message(self) -> AIMessage:
        """Return the whole answer. Raises ModelStreamBroken when the stream ended without a finish reason we know."""
        if self.finish_reason is None:
            raise ModelStreamBroken("The provider's answer broke off: the stream ended without a finish reason.")
        reason = known_finish_reason(self.finish_reason)
        tool_calls, invalid = self._tool_calls()
        reasoning = "".join(self._reasoning)
        return AIMessage(
            content="".join(self._text),
            id=self._id,
            tool_calls=tool_calls,
            invalid_tool_calls=invalid,
            usage_metadata=self._usage,
            response_metadata={"finish_reason": reason, "model_name": self._model or ""},
            additional_kwargs={"reasoning_content": reasoning} if reasoning else {},
        )

    def _take_delta(self, delta: dict[str, Any]) -> None:
        if text := delta.get("content") or delta.get("refusal"):
            self._text.append(_string(text))
            self._sink.text(text)
        if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
            self._reasoning.append(_string(reasoning))
            self._sink.reasoning(reasoning)
        for call in delta.get("tool_calls") or ():
            self._take_call(call)

    def _take_call(self, call: dict[str, Any]) -> None:
        index = call.get("index")
        if index is None:  # some servers number nothing, and send each call whole
            index = max(self._calls, default=-1) + 1
        elif type(index) is not int:
            raise ModelStreamBroken("The provider's answer holds a tool call whose index is not a number.")
        function = call.get("function") or {}
        call_id, name = _string(call.get("id") or ""), _string(function.get("name") or "")
        arguments = _string(function.get("arguments") or "")
        parts = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        parts["id"] = parts["id"] or call_id
        parts["name"] += name
        parts["arguments"] += arguments
        self._sink.tool_call(len(name) + len(arguments))

    def _tool_calls(self) -> tuple[list[ToolCall], list[InvalidToolCall]]:
        """Split the calls into those whose arguments are a JSON object and those the model got wrong."""
        valid, invalid = [], []
        for index, parts in sorted(self._calls.items()):
            call_id = parts["id"] or f"call_{index}"
            try:
                arguments = orjson.loads(parts["arguments"] or "{}")
            except orjson.JSONDecodeError:
                arguments = None
            if isinstance(arguments, dict) and parts["name"]:
                valid.append(ToolCall(name=parts["name"], args=arguments, id=call_id, type="tool_call"))
            else:
                error = "The arguments are not a JSON object."
                invalid.append(
                    InvalidToolCall(
                        name=parts["name"], args=parts["arguments"], id=call_id, error=error, type="invalid_tool_call"
                    )
                )
        return valid, invalid


def _string(value: object) -> str:
    """Return the value if it is a string. Raises ModelStreamBroken."""
    if type(value) is not str:
        raise ModelStreamBroken("The provider's answer holds something other than text where text belongs.")
    return value


def _usage(usage: dict[str, Any]) -> UsageMetadata:
    """Map the API's usage object; details that a server leaves out are left out here too."""
    prompt, completion = token_count(usage.get("prompt_tokens")), token_count(usage.get("completion_tokens"))
    mapped = UsageMetadata(input_tokens=prompt, output_tokens=completion, total_tokens=prompt + completion)
    if cached := token_count((usage.get("prompt_tokens_details") or {}).get("cached_tokens")):
        mapped["input_token_details"] = {"cache_read": cached}
    if reasoning := token_count((usage.get("completion_tokens_details") or {}).get("reasoning_tokens")):
        mapped["output_token_details"] = {"reasoning": reasoning}
    return mapped


def token_count(reported: object) -> int:
    """Return a reported count as a whole number of 0 to MAX_TOKEN_COUNT; none is 0. Raises ModelStreamBroken."""
    if reported is None:
        return 0
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        raise ModelStreamBroken("The provider reported a number of tokens that is not a number.")
    return int(min(max(reported, 0), MAX_TOKEN_COUNT))
