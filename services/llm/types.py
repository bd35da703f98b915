"""What the gateway and its providers exchange.

Messages, tools and the final answer are LangChain's own types, so a graph written for any LangChain model runs unchanged.
Only the stream is ours: text goes straight to the run's sink, without an object per token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_core.messages import AIMessage, BaseMessage

from services.types import ModelOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One call of a chat model.

    `tools` are OpenAI function schemas (`{"type": "function", "function": {...}}`). `tool_choice` is "auto", "none",
    "required" or a tool's name; it is ignored without tools. `response_format` is OpenAI's (`{"type": "json_object"}` or
    `{"type": "json_schema", ...}`): a provider that cannot hold to it is passed over. `tainted` says that what the model is
    shown holds, or led from, what came from outside. `traceparent` is for a provider that is told in which trace it works.
    """

    messages: Sequence[BaseMessage]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str = "auto"
    options: ModelOptions = field(default_factory=ModelOptions)
    response_format: Mapping[str, Any] | None = None
    tainted: bool = False
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """One configured provider with its variables resolved. Times are seconds; `api_key` is kept out of the repr.

    `arguments` are the provider's own: request-body defaults for `openai` and `embedded`, constructor arguments for
    `langchain`. `max_output_tokens` is the operator's limit; a client may only ask for less. Only a provider
    that is `told_of_traces` is sent a call's `traceparent`.
    """

    name: str
    model: str
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    max_output_tokens: int = 4_096
    max_connections: int = 2_000
    connect_timeout_s: float = 5.0
    told_of_traces: bool = False

    def output_limit(self, options: ModelOptions) -> int:
        """The tokens that an answer may have: the operator's limit, or the client's where that is less."""
        return min(options.max_output_tokens or self.max_output_tokens, self.max_output_tokens)


class TextSink(Protocol):
    """Where a provider puts what the model says, as it says it.

    `text`, `reasoning` and `tool_call` only append; what is too much, or repeats without end, they refuse with a ModelError,
    which ends the call. A provider awaits `drain` once per network read, which passes on what came with it, and stops the
    reading of the socket: for long when the reader is far behind, which is the back-pressure, and in a busy replica until the
    next batch may leave.

    `sent` says that the provider has the request, so that its input is billed even if nothing comes back; a call that it
    then refuses costs nothing. `tool_call` counts the characters of a tool call's name and arguments, which are not shown.
    """

    def sent(self) -> None: ...

    def text(self, delta: str) -> None: ...

    def reasoning(self, delta: str) -> None: ...

    def tool_call(self, chars: int) -> None: ...

    async def drain(self) -> None: ...


class ChatProvider(Protocol):
    """One model behind one endpoint.

    `generate` streams text into the sink and returns the whole answer as one AIMessage: `content`, `tool_calls` (or
    `invalid_tool_calls`), `usage_metadata`, `response_metadata["finish_reason"]` and, for reasoning models,
    `additional_kwargs["reasoning_content"]`. It raises a `ModelError`, nothing else but CancelledError; on cancellation the
    upstream connection is closed before it returns. How long it may take, and whether it is asked at all, is the gateway's.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    async def generate(self, call: ModelCall, sink: TextSink) -> AIMessage: ...

    async def aclose(self) -> None: ...


class ChatModel(Protocol):
    """A model as a graph sees it: the gateway, bound to one run."""

    async def generate(self, call: ModelCall, *, source: str | None = None, silent: bool = False) -> AIMessage:
        """Answer `call`, streaming the text to the run's client unless `silent`."""
        ...
