"""A span for each attempt at a provider: a retry and a fail-over are spans beside each other."""

from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage

from services.errors import ModelError
from services.llm.route import Route
from services.llm.types import ModelCall
from services.telemetry import genai
from services.telemetry.spans import CANCELLED, NO_SPAN, UNTRACED, Kind, Span, Trace
from services.types import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSpans:
    """The spans of one model call in a run's trace. `source` names the agent that speaks where a graph has several."""

    trace: Trace = UNTRACED
    source: str | None = None

    def begin(self, route: Route, call: ModelCall) -> Span:
        """The provider is about to be asked."""
        if self.trace is UNTRACED:
            return NO_SPAN
        attributes: dict[str, Any] = {
            genai.OPERATION_NAME: genai.CHAT,
            genai.PROVIDER_NAME: route.provider.name,
            genai.REQUEST_MODEL: route.provider.model,
            genai.REQUEST_MAX_TOKENS: route.output_limit(call.options),
            genai.REQUEST_STREAM: True,
        }
        if self.source is not None:
            attributes[genai.SOURCE] = self.source
        return self.trace.begin(f"{genai.CHAT} {route.provider.model}", attributes, kind=Kind.CLIENT)

    def told(self, call: ModelCall, span: Span) -> ModelCall:
        """Return the call as a provider that is told of traces is to have it."""
        traceparent = self.trace.traceparent(span)
        return call if traceparent is None else replace(call, traceparent=traceparent)

    def end(
        self, span: Span, answer: AIMessage | None, failure: ModelError | None, used: Usage, waited_s: float | None
    ) -> None:
        """The attempt is over: with an answer, with a failure, or with neither where it was stopped."""
        if span is NO_SPAN:
            return
        attributes: dict[str, Any] = {
            genai.USAGE_INPUT_TOKENS: used.input_tokens,
            genai.USAGE_OUTPUT_TOKENS: used.output_tokens,
            genai.USAGE_CACHE_READ_INPUT_TOKENS: used.cached_tokens,
            genai.USAGE_REASONING_OUTPUT_TOKENS: used.reasoning_tokens,
            genai.ESTIMATED: used.estimated,
        }
        if waited_s is not None:
            attributes[genai.RESPONSE_TIME_TO_FIRST_CHUNK] = waited_s
        if answer is not None:
            said = answer.response_metadata
            attributes[genai.RESPONSE_FINISH_REASONS] = (str(said.get("finish_reason", "")),)
            attributes[genai.RESPONSE_MODEL] = str(said.get("model_name", ""))
        span.set(attributes)
        span.end(None if answer is not None else CANCELLED if failure is None else failure.code)

    def skipped(self, route: Route, reason: str) -> None:
        """The provider was not asked: it is out of service, or has no room."""
        self.trace.event(genai.PROVIDER_SKIPPED, {genai.PROVIDER_NAME: route.provider.name, genai.REASON: reason})
