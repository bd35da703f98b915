"""Any LangChain chat model, named by its import path: for providers that are not OpenAI-compatible.

Slower per token than our own stream (LangChain builds an object for each), and its errors are the SDK's own: they are
recognised by their HTTP status where they carry one, and otherwise count as the stream having broken.
"""

import asyncio
import importlib
import logging
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata

from services.errors import (
    ConfigurationError,
    MainstayError,
    ModelAuthRejected,
    ModelError,
    ModelMissing,
    ModelRejectedRequest,
    ModelServerError,
    ModelStreamBroken,
    ModelThrottled,
    ModelTimeout,
    ModelUnreachable,
)
from services.llm.answer import token_count
from services.llm.finish import known_finish_reason
from services.llm.http_errors import error_from_status, quoted
from services.llm.types import ModelCall, ProviderSpec, TextSink

logger = logging.getLogger(__name__)

SDK_ERRORS: Mapping[str, type[ModelError]] = {
    "APITimeoutError": ModelTimeout,
    "StreamChunkTimeoutError": ModelTimeout,
    "TimeoutException": ModelTimeout,
    "APIConnectionError": ModelUnreachable,
    "ConnectError": ModelUnreachable,
    "RateLimitError": ModelThrottled,
    "AuthenticationError": ModelAuthRejected,
    "PermissionDeniedError": ModelAuthRejected,
    "NotFoundError": ModelMissing,
    "BadRequestError": ModelRejectedRequest,
    "UnprocessableEntityError": ModelRejectedRequest,
    "InternalServerError": ModelServerError,
}
"""Names of exception classes, the same in the SDKs made by one generator (openai, anthropic, ...) and in httpx, by which an
error without an HTTP status is known. Any SDK may stand behind this provider, so none is imported for it."""


class LangChainProvider:
    """Implements `ChatProvider` over a LangChain chat model.

    `spec.arguments` holds `class`, as `package.module:ClassName`, and the arguments of its constructor. `model` and, where
    one is configured, `api_key` and `base_url` are passed along with them. An answer without a finish reason counts as
    broken off; for an integration that never gives one, `finish_reason_optional: true` (not handed to the constructor)
    takes its end for a stop, and a truncated answer then cannot be told from a whole one.
    """

    def __init__(self, spec: ProviderSpec, chat_model: BaseChatModel | None = None) -> None:
        self._spec = spec
        self._reason_optional = spec.arguments.get("finish_reason_optional") is True
        self._chat_model = chat_model or _construct(spec)

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def model(self) -> str:
        return self._spec.model

    async def aclose(self) -> None:
        """LangChain's chat models have no close; their connections end with the process."""

    async def generate(self, call: ModelCall, sink: TextSink) -> AIMessage:
        """Stream one answer; see `ChatProvider`."""
        try:
            return await self._stream(call, sink)
        except MainstayError:
            raise
        except asyncio.CancelledError:
            sink.sent()  # an SDK does not say how far the request had got
            raise
        except Exception as error:  # noqa: BLE001  any SDK may stand behind this: its exceptions cannot be named here
            raise self._translated(error) from None

    async def _stream(self, call: ModelCall, sink: TextSink) -> AIMessage:
        chunks: list[AIMessageChunk] = []
        async for chunk in self._bound(call).astream(list(call.messages), **self._options(call)):
            if not chunks:
                sink.sent()
            chunks.append(chunk)
            _show(chunk, sink)
            await sink.drain()
        if not chunks:
            raise ModelStreamBroken(f"{self.name}: the answer is empty.")
        return self._joined(chunks)

    def _joined(self, chunks: list[AIMessageChunk]) -> AIMessage:
        whole = chunks[0] + chunks[1:]
        reason = next(filter(None, map(_finish_reason, reversed(chunks))), None)
        if reason is None and not self._reason_optional:
            raise ModelStreamBroken(f"{self.name}: the answer broke off: it ended without a finish reason.")
        finish_reason = "stop" if reason is None else known_finish_reason(reason)
        return AIMessage(
            content=whole.text,
            id=whole.id,
            tool_calls=whole.tool_calls,
            invalid_tool_calls=whole.invalid_tool_calls,
            usage_metadata=_counted(whole.usage_metadata),
            response_metadata={**whole.response_metadata, "finish_reason": finish_reason},
            additional_kwargs=whole.additional_kwargs,
        )

    def _bound(self, call: ModelCall) -> Any:
        if not call.tools:
            return self._chat_model
        return self._chat_model.bind_tools([dict(tool) for tool in call.tools], tool_choice=call.tool_choice)

    def _options(self, call: ModelCall) -> dict[str, Any]:
        options = call.options
        asked = {
            "temperature": options.temperature,
            "top_p": options.top_p,
            "max_tokens": self._spec.output_limit(options),
            "stop": list(options.stop) or None,
            "response_format": call.response_format,
        }
        return {key: value for key, value in asked.items() if value is not None}

    def _translated(self, error: Exception) -> ModelError:
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and status != 200:
            headers = getattr(getattr(error, "response", None), "headers", None) or {}
            return error_from_status(
                self.name, status, headers, str(error).encode("utf-8", "replace"), secret=self._spec.api_key
            )
        said = quoted(str(error), self._spec.api_key)
        logger.warning("%s: the call failed: %s: %s", self.name, type(error).__name__, said)
        names = (cause.__name__ for cause in type(error).__mro__)
        known = next((SDK_ERRORS[name] for name in names if name in SDK_ERRORS), ModelStreamBroken)
        return known(f"{self.name}: the call failed before its answer was whole.")


def _construct(spec: ProviderSpec) -> BaseChatModel:
    arguments = dict(spec.arguments)
    path = arguments.pop("class", None)
    arguments.pop("finish_reason_optional", None)
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
    if "max_retries" in getattr(chat_model, "model_fields", ()):
        arguments.setdefault("max_retries", 0)  # the gateway retries, with a budget; two layers would multiply
    built = chat_model(model=spec.model, **arguments)
    if not isinstance(built, BaseChatModel):
        raise ConfigurationError(f"Provider {spec.name}: {path} is not a LangChain chat model.")
    return built


def _show(chunk: AIMessageChunk, sink: TextSink) -> None:
    """Send a chunk's text and reasoning to the sink, and the size of its tool calls."""
    if text := chunk.text:
        sink.text(text)
    reasoning = chunk.additional_kwargs.get("reasoning_content")
    if reasoning and isinstance(reasoning, str):
        sink.reasoning(reasoning)
    for block in chunk.content if isinstance(chunk.content, list) else ():
        if isinstance(block, dict) and isinstance(thought := block.get("thinking"), str) and thought:
            sink.reasoning(thought)
    for piece in chunk.tool_call_chunks:
        sink.tool_call(len(piece["name"] or "") + len(piece["args"] or ""))


def _finish_reason(chunk: AIMessageChunk) -> object:
    """The reason that a chunk gives, under one of the names that integrations have for it. Joined, two would run together."""
    metadata = chunk.response_metadata
    return next(filter(None, map(metadata.get, ("finish_reason", "stop_reason", "stopReason", "done_reason"))), None)


def _counted(usage: UsageMetadata | None) -> UsageMetadata | None:
    if usage is None:
        return None
    counts = {key: token_count(usage.get(key)) for key in ("input_tokens", "output_tokens", "total_tokens")}
    return UsageMetadata(**{**usage, **counts})  # type: ignore[typeddict-item]
