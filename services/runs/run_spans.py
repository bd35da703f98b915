"""The span of an attempt at a run, from when its replica has taken it to when its end is stored."""

from collections.abc import Mapping
from typing import Any

from services.errors import MainstayError
from services.guard import Action
from services.telemetry import genai
from services.telemetry.spans import CANCELLED, UNTRACED, Span, Trace
from services.telemetry.trace_context import attempt_span_id
from services.telemetry.tracing import Tracer
from services.types import Claim, RunOutcome, RunStatus


class RunSpan:
    """`trace` is for whoever works for the run. It is over with the first of `ended` and `left`."""

    __slots__ = ("_over", "_span", "_tracer", "trace")

    def __init__(self, tracer: Tracer, trace: Trace, span: Span) -> None:
        self._tracer = tracer
        self.trace = trace
        self._span = span
        self._over = trace is UNTRACED

    @classmethod
    def begin(cls, tracer: Tracer, claim: Claim) -> "RunSpan":
        run = claim.run
        trace = tracer.go_on(run.traceparent, run_id=run.id, attempt=run.attempt)
        if trace is UNTRACED:
            return cls(tracer, trace, trace.begin("", {}))
        if run.flagged:
            trace.keep()
        span = trace.begin(
            f"{genai.INVOKE_AGENT} {run.graph}",
            {
                genai.OPERATION_NAME: genai.INVOKE_AGENT,
                genai.AGENT_NAME: run.graph,
                genai.CONVERSATION_ID: run.thread_id,
                genai.RUN_ID: run.id,
                genai.ATTEMPT: run.attempt,
                genai.TAKEN_OVER: run.attempt > 1,
                genai.FLAGGED: run.flagged,
            },
            span_id=attempt_span_id(run.id, run.attempt),
        )
        return cls(tracer, trace, span)

    def decided(self, found: Mapping[tuple[str, Action], int]) -> None:
        """Take note of what the output screen did not let through, by rule and action."""
        for (rule, action), count in found.items():
            self._span.event(genai.OUTPUT_DECISION, {genai.RULE: rule, genai.ACTION: action.value, genai.COUNT: count})

    def ended(self, outcome: RunOutcome) -> None:
        """The run has ended, and its end is stored or will be."""
        if self._over:
            return
        if outcome.status is RunStatus.FAILED:
            self.trace.keep()
        usage = outcome.usage
        attributes: dict[str, Any] = {
            genai.RUN_STATUS: outcome.status.value,
            genai.USAGE_INPUT_TOKENS: usage.input_tokens,
            genai.USAGE_OUTPUT_TOKENS: usage.output_tokens,
            genai.MODEL_CALLS: usage.model_calls,
            genai.COST_MICROS: usage.cost_micros,
        }
        if outcome.finish_reason is not None:
            attributes[genai.RESPONSE_FINISH_REASONS] = (outcome.finish_reason,)
        self._span.set(attributes)
        if outcome.failure is not None:
            self._close(outcome.failure.code)
        else:
            self._close(CANCELLED if outcome.status is RunStatus.CANCELLED else None)

    def left(self, error: MainstayError | None) -> None:
        """The attempt is over, and the run is not: another replica goes on with it."""
        if not self._over:
            self._close(None if error is None else error.code)

    def _close(self, error: str | None) -> None:
        self._over = True
        self._span.end(error)
        self._tracer.end(self.trace)
