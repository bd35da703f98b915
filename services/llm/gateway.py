"""The one way to a model: providers in order, fail-over before the first token, one sink and one bill per run.

Outside in: deadline -> fail-over -> per provider: one more try where the connection failed -> call. After the first piece of
text has been shown nothing is ever restarted: the failure goes to the run, which says that its answer is partial.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from services.errors import (
    ContextTooLong,
    ModelAuthRejected,
    ModelError,
    ModelQuotaExhausted,
    ModelRejectedRequest,
    ModelServerError,
    ModelThrottled,
    ModelUnreachable,
)
from services.llm.types import ChatProvider, ModelCall
from services.runs.deadline import Deadline
from services.types import Usage

logger = logging.getLogger(__name__)

CHARS_PER_TOKEN = 4
"""For the bill of a call that was cut off before the provider reported its usage (OpenAI's rule of thumb for English)."""

CONNECT_ATTEMPTS = 2
"""Servers close idle connections; the request that meets one fails before it is sent, and is safe to send again."""

_REFUSALS = (
    ModelUnreachable,
    ModelServerError,
    ModelThrottled,
    ModelQuotaExhausted,
    ModelAuthRejected,
    ModelRejectedRequest,
    ContextTooLong,
)
"""The provider did not take the call on: it costs nothing, though the request was sent."""


class StreamSink(Protocol):
    """Where the text of several model calls of one run goes, each piece with the name of the agent that speaks."""

    def text(self, delta: str, source: str | None = None) -> None: ...

    def reasoning(self, delta: str, source: str | None = None) -> None: ...

    async def drain(self) -> None: ...


class Gateway:
    """The providers of one replica. Providers are tried in the order given."""

    def __init__(self, providers: Sequence[ChatProvider]) -> None:
        self._providers = tuple(providers)

    def bind(self, sink: StreamSink, deadline: Deadline) -> "RunModel":
        """Return the model of one run."""
        return RunModel(providers=self._providers, sink=sink, deadline=deadline)

    async def aclose(self) -> None:
        """Close every provider's connections."""
        for provider in self._providers:
            await provider.aclose()


@dataclass(slots=True, kw_only=True)
class _Tap:
    """A call's way into the run's sink: remembers what the provider did, and keeps a silent call's text from the client."""

    sink: StreamSink
    source: str | None
    silent: bool
    parts: list[str] = field(default_factory=list)
    reasoning_chars: int = 0
    tool_call_chars: int = 0
    was_sent: bool = False

    def begin(self) -> None:
        """Forget what an earlier provider did."""
        self.parts.clear()
        self.reasoning_chars = self.tool_call_chars = 0
        self.was_sent = False

    @property
    def output_chars(self) -> int:
        return sum(map(len, self.parts)) + self.reasoning_chars + self.tool_call_chars

    @property
    def shown(self) -> bool:
        return not self.silent and (bool(self.parts) or self.reasoning_chars > 0)

    def sent(self) -> None:
        self.was_sent = True

    def tool_call(self, chars: int) -> None:
        self.tool_call_chars += chars

    def text(self, delta: str) -> None:
        self.parts.append(delta)
        if not self.silent:
            self.sink.text(delta, self.source)

    def reasoning(self, delta: str) -> None:
        self.reasoning_chars += len(delta)
        if not self.silent:
            self.sink.reasoning(delta, self.source)

    async def drain(self) -> None:
        if not self.silent:
            await self.sink.drain()


@dataclass(slots=True, kw_only=True)
class RunModel:
    """The gateway bound to one run: implements `ChatModel` and keeps the run's bill and what it has shown of the answer."""

    providers: Sequence[ChatProvider]
    sink: StreamSink
    deadline: Deadline
    usage: Usage = field(default_factory=Usage)
    provider: str | None = None
    model: str | None = None
    answer_parts: list[list[str]] = field(default_factory=list)

    @property
    def answer_text(self) -> str:
        """What was shown of the answer so far. Text with a source is work on the way, not the answer."""
        return "".join("".join(parts) for parts in self.answer_parts)

    async def generate(self, call: ModelCall, *, source: str | None = None, silent: bool = False) -> AIMessage:
        """Answer `call` by the first provider that can. Raises the last provider's ModelError when none could."""
        tap = _Tap(sink=self.sink, source=source, silent=silent)
        if not silent and source is None:
            self.answer_parts.append(tap.parts)
        failure: ModelError = ModelUnreachable("No provider is configured.")
        for provider in self.providers:
            for _ in range(CONNECT_ATTEMPTS):
                try:
                    return await self._call(provider, call, tap)
                except (ModelRejectedRequest, ContextTooLong):
                    raise
                except ModelError as error:
                    if tap.shown:
                        raise
                    logger.warning("provider %s failed before its first token: %s", provider.name, error.code)
                    failure = error
                if not isinstance(failure, ModelUnreachable):
                    break
        raise failure

    async def _call(self, provider: ChatProvider, call: ModelCall, tap: _Tap) -> AIMessage:
        self.provider, self.model = provider.name, provider.model
        tap.begin()
        answer: AIMessage | None = None
        try:
            answer = await provider.generate(call, tap, self.deadline)
        except _REFUSALS:
            tap.was_sent = False
            raise
        finally:
            self._bill(call, tap, answer)
        return answer

    def _bill(self, call: ModelCall, tap: _Tap, answer: AIMessage | None) -> None:
        """Add the call to the run's usage: as reported, or as estimated where it was sent or answered without a report."""
        if answer is not None and answer.usage_metadata is not None:
            self.usage += _reported(answer.usage_metadata)
        elif answer is not None or tap.was_sent or tap.output_chars:
            self.usage += _estimated(call, tap)


def _reported(usage: UsageMetadata) -> Usage:
    return Usage(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cached_tokens=usage.get("input_token_details", {}).get("cache_read", 0),
        reasoning_tokens=usage.get("output_token_details", {}).get("reasoning", 0),
        model_calls=1,
    )


def _estimated(call: ModelCall, tap: _Tap) -> Usage:
    asked = sum(len(str(message.content)) for message in call.messages)
    return Usage(
        input_tokens=math.ceil(asked / CHARS_PER_TOKEN),
        output_tokens=math.ceil(tap.output_chars / CHARS_PER_TOKEN),
        reasoning_tokens=math.ceil(tap.reasoning_chars / CHARS_PER_TOKEN),
        model_calls=1,
        estimated=True,
    )
