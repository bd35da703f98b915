"""One line for each run that ended: how, how long it took, and what it used. What was said is for DEBUG alone."""

import logging

from services.runs.engine import RunTimes
from services.types import Run, RunOutcome

logger = logging.getLogger(__name__)


class RunLines:
    """Implements `services.runs.engine.RunObserver`."""

    def run_ended(self, run: Run, outcome: RunOutcome, times: RunTimes) -> None:
        usage, failure = outcome.usage, outcome.failure
        logger.info(
            "run ended",
            extra={
                "graph": run.graph,
                "attempt": run.attempt,
                "status": outcome.status.value,
                "error": None if failure is None else failure.code,
                "duration_s": round(times.duration_s, 4),
                "first_text_s": None if times.first_text_s is None else round(times.first_text_s, 4),
                "provider": outcome.provider,
                "model": outcome.model,
                "model_calls": usage.model_calls,
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "cost_micros": usage.cost_micros,
                "flagged": run.flagged,
            },
        )
        if logger.isEnabledFor(logging.DEBUG):
            said = {"asked": run.messages, "answered": outcome.messages}
            texts = {name: [f"{m.role}: {m.content}" for m in messages] for name, messages in said.items()}
            logger.debug("what was said", extra=texts)
