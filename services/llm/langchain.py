"""Any LangChain chat model, named by its import path: for providers that are not OpenAI-compatible.

Slower per token than our own stream (LangChain builds an object for each), and its errors are the SDK's own: they are
recognised by their HTTP status where they carry one, and otherwise count as the stream having broken.
"""

import importlib
from functools import reduce
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk

from services.errors import ConfigurationError, MainstayError, ModelError, ModelStreamBroken
from services.llm.http_errors import error_from_status
from services.llm.patience import patience
from services.llm.types import ModelCall, ProviderSpec, TextSink
from services.runs.deadline import Deadline


class LangChainProvider:
    """Implements `ChatProvider` over a LangChain chat model.

    `spec.arguments` holds `class`, as `package.module:ClassName`, and the arguments of its constructor. `model` and, where
    one is configured, `api_key` and `base_url` are passed along with them.
    """

    def __init__(self, spec: ProviderSpec, chat_model: BaseChatModel | None = None) -> None:
        self._spec = spec
        self._chat_model = chat_model or _construct(spec)

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def model(self) -> str:
        return self._spec.model

    async def aclose(self) -> None:
        """LangChain's chat models have no close; their connections end with the process."""

    async def generate(self, call: ModelCall, sink: TextSink, deadline: Deadline) -> AIMessage:
        """Stream one answer; see `ChatProvider`."""
        async with patience(self._spec, deadline) as progressed:
            chunks = []
            try:
                async for chunk in self._bound(call).astream(list(call.messages), **self._options(call)):
                    chunks.append(chunk)
                    if _show(chunk, sink):
                        progressed()
                    await sink.drain()
            except MainstayError:
                raise
            except Exception as error:  # any SDK may stand behind this: its exceptions cannot be named here
                raise self._translated(error) from error
        if not chunks:
            raise ModelStreamBroken(f"{self.name}: the answer is empty.")
        return _joined(chunks)

    def _bound(self, call: ModelCall) -> Any:
        if not call.tools:
            return self._chat_model
        return self._chat_model.bind_tools([dict(tool) for tool in call.tools], tool_choice=call.tool_choice)

    def _options(self, call: ModelCall) -> dict[str, Any]:
        options = call.options
        asked = {
            "temperature": options.temperature,
            "top_p": options.top_p,
            "max_tokens": options.max_output_tokens or self._spec.max_output_tokens,
            "stop": list(options.stop) or None,
        }
        return {key: value for key, value in asked.items() if value is not None}

    def _translated(self, error: Exception) -> ModelError:
        status = getattr(error, "status_code", None)
        if isinstance(status, int):
            headers = getattr(getattr(error, "response", None), "headers", None) or {}
            return error_from_status(self.name, status, headers, str(error).encode())
        return ModelStreamBroken(f"{self.name}: {type(error).__name__}: {str(error)[:300]}")


def _construct(spec: ProviderSpec) -> BaseChatModel:
    arguments = dict(spec.arguments)
    path = arguments.pop("class", None)
    if not isinstance(path, str) or ":" not in path:
        raise ConfigurationError(
            f"Provider {spec.name}: arguments.class must name a chat model as 'package.module:Class'."
        )
    module, _, name = path.partition(":")
    try:
        chat_model = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"Provider {spec.name}: {path} cannot be imported: {error}. Is it installed?"
        ) from error
    for key, value in (("api_key", spec.api_key), ("base_url", spec.base_url)):
        if value:
            arguments.setdefault(key, value)
    built = chat_model(model=spec.model, **arguments)
    if not isinstance(built, BaseChatModel):
        raise ConfigurationError(f"Provider {spec.name}: {path} is not a LangChain chat model.")
    return built


def _show(chunk: AIMessageChunk, sink: TextSink) -> bool:
    """Send a chunk's text and reasoning to the sink; return whether it held content."""
    if text := chunk.text:
        sink.text(text)
    if reasoning := chunk.additional_kwargs.get("reasoning_content"):
        sink.reasoning(reasoning)
    return bool(text or reasoning or chunk.tool_call_chunks)


def _joined(chunks: list[AIMessageChunk]) -> AIMessage:
    whole = reduce(lambda left, right: left + right, chunks)
    reason = whole.response_metadata.get("finish_reason") or whole.response_metadata.get("stop_reason") or "stop"
    return AIMessage(
        content=whole.text,
        id=whole.id,
        tool_calls=whole.tool_calls,
        invalid_tool_calls=whole.invalid_tool_calls,
        usage_metadata=whole.usage_metadata,
        response_metadata={**whole.response_metadata, "finish_reason": _FINISH_REASONS.get(reason, reason)},
        additional_kwargs=whole.additional_kwargs,
    )


_FINISH_REASONS = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "stop_sequence": "stop"}
