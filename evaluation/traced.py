"""Judging as spans of the run's own trace, for collectors: how long each criterion took, and its score as an event.

(`GET /v1/runs/{run_id}/trace` has the scores from their table, whether there is a collector or not.)
"""

from typing import Any

from evaluation.criteria.types import Context, Criterion, Reading
from services.telemetry import genai
from services.telemetry.tracing import Tracer


class TracedCriterion:
    """Implements `Criterion` by another one. Only runs whose trace is sampled are traced here."""

    def __init__(self, criterion: Criterion, tracer: Tracer) -> None:
        self.name = criterion.name
        self.rubric_version = criterion.rubric_version
        self.scale = criterion.scale
        self.needs_judge = criterion.needs_judge
        self._criterion = criterion
        self._tracer = tracer

    async def read(self, context: Context) -> Reading:
        run_id = context.sample.run_id
        trace = self._tracer.go_on(context.traceparent, run_id=run_id)
        try:
            with trace.begin(f"{genai.EVALUATE} {self.name}", {genai.RUN_ID: run_id}) as span:
                reading = await self._criterion.read(context)
                span.event(genai.EVALUATION_RESULT, self._result(context, reading))
        finally:
            self._tracer.end(trace)
        return reading

    def _result(self, context: Context, reading: Reading) -> dict[str, Any]:
        """The event's attributes. The reason is the judge's words, and may quote what was said: it stays in the scores."""
        attributes: dict[str, Any] = {genai.EVALUATION_NAME: self.name}
        if reading.value is not None:
            attributes[genai.EVALUATION_SCORE_VALUE] = reading.value
        if context.flags(self._criterion):
            attributes[genai.EVALUATION_FLAGGED] = True
        return attributes
