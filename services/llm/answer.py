"""One streamed answer, put together: chunks of the chat-completions stream in, one AIMessage out."""

from typing import Any

import orjson
from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata

from services.errors import ModelOutputTooLarge, ModelStreamBroken
from services.llm.types import TextSink

MAX_ANSWER_CHARS = 4_000_000


class AnswerBuilder:
    """Collects one answer. Text and reasoning go to the sink at once; the rest is kept for the final message.

    `feed` takes one parsed chunk. Only the first choice counts: we never ask for more.
    """

    def __init__(self, sink: TextSink, *, max_chars: int = MAX_ANSWER_CHARS) -> None:
        self._sink = sink
        self._max_chars = max_chars
        self._chars = 0
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._usage: UsageMetadata | None = None
        self._model: str | None = None
        self._id: str | None = None
        self.finish_reason: str | None = None

    def feed(self, chunk: dict[str, Any]) -> bool:
        """Take one chunk; return whether it carried content (text, reasoning or a piece of a tool call)."""
        progressed = False
        if choices := chunk.get("choices"):
            choice = choices[0]
            if delta := choice.get("delta") or choice.get("message"):
                progressed = self._take_delta(delta)
            if reason := choice.get("finish_reason"):
                self.finish_reason = reason
        if usage := chunk.get("usage"):
            self._usage = _usage(usage)
        if self._model is None:
            self._model = chunk.get("model")
            self._id = chunk.get("id")
        return progressed

    def message(self) -> AIMessage:
        """Return the whole answer. Raises ModelStreamBroken when the stream ended without a finish reason."""
        if self.finish_reason is None:
            raise ModelStreamBroken("The provider's answer broke off: the stream ended without a finish reason.")
        tool_calls, invalid = self._tool_calls()
        reasoning = "".join(self._reasoning)
        return AIMessage(
            content="".join(self._text),
            id=self._id,
            tool_calls=tool_calls,
            invalid_tool_calls=invalid,
            usage_metadata=self._usage,
            response_metadata={"finish_reason": self.finish_reason, "model_name": self._model or ""},
            additional_kwargs={"reasoning_content": reasoning} if reasoning else {},
        )

    def _take_delta(self, delta: dict[str, Any]) -> bool:
        progressed = False
        if text := delta.get("content"):
            self._text.append(text)
            self._count(text)
            self._sink.text(text)
            progressed = True
        if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
            self._reasoning.append(reasoning)
            self._count(reasoning)
            self._sink.reasoning(reasoning)
            progressed = True
        for call in delta.get("tool_calls") or ():
            self._take_call(call)
            progressed = True
        return progressed

    def _take_call(self, call: dict[str, Any]) -> None:
        parts = self._calls.setdefault(call.get("index", len(self._calls)), {"id": "", "name": "", "arguments": ""})
        function = call.get("function") or {}
        parts["id"] = parts["id"] or call.get("id") or ""
        parts["name"] += function.get("name") or ""
        arguments = function.get("arguments") or ""
        parts["arguments"] += arguments
        self._count(arguments)

    def _count(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > self._max_chars:
            raise ModelOutputTooLarge(f"The provider's answer is longer than {self._max_chars} characters.")

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


def _usage(usage: dict[str, Any]) -> UsageMetadata:
    """Map the API's usage object; details that a server leaves out are left out here too."""
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    mapped = UsageMetadata(input_tokens=prompt, output_tokens=completion, total_tokens=prompt + completion)
    if cached := (usage.get("prompt_tokens_details") or {}).get("cached_tokens"):
        mapped["input_token_details"] = {"cache_read": cached}
    if reasoning := (usage.get("completion_tokens_details") or {}).get("reasoning_tokens"):
        mapped["output_token_details"] = {"reasoning": reasoning}
    return mapped
