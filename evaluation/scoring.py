"""One ended run in, one score for each criterion out: the part that live judging and a judged data set share."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from uuid import UUID

from evaluation.criteria.types import CODE, Context, Criterion, Judge, Reading
from services.errors import MainstayError, StoreUnavailable
from services.samples import Sample, Score

logger = logging.getLogger(__name__)

Screen = Callable[[Sample], Sequence[str]]
"""Names what in a run's texts speaks to a judge; see `evaluation.begging`."""

Traceparent = Callable[[UUID], Awaitable[str | None]]
"""Returns the `traceparent` of a run's last attempt. Raises StoreUnavailable."""


class Scoring:
    """Asks every criterion about a run. A criterion that fails, in whatever way, is unscored for that reason."""

    def __init__(
        self,
        *,
        criteria: Sequence[Criterion],
        judge: Judge,
        screen: Screen = lambda _: (),
        traceparent: Traceparent | None = None,
    ) -> None:
        self.criteria = tuple(criteria)
        self.judge = judge
        self._screen = screen
        self._traceparent = traceparent

    async def of(self, sample: Sample) -> list[Score]:
        """Return a score for each criterion, in their order. Raises nothing but CancelledError."""
        context = Context(
            sample=sample,
            judge=self.judge,
            begging=tuple(self._screen(sample)),
            traceparent=await self._traced_as(sample.run_id),
        )
        return [await self._score(criterion, context) for criterion in self.criteria]

    async def _traced_as(self, run_id: UUID) -> str | None:
        if self._traceparent is None:
            return None
        # As below: what is not known for whatever reason costs a few spans, and no score.
        [found] = await asyncio.gather(self._traceparent(run_id), return_exceptions=True)
        if not isinstance(found, BaseException):
            return found
        if not isinstance(found, StoreUnavailable):
            logger.warning("the trace of run %s could not be looked up", run_id, exc_info=found)
        return None

    async def _score(self, criterion: Criterion, context: Context) -> Score:
        # gather makes whatever is raised a value, while cancelling the caller still ends it: criteria are other people's code.
        [reading] = await asyncio.gather(criterion.read(context), return_exceptions=True)
        if isinstance(reading, BaseException):
            reading = _failed(criterion, context.sample, reading)
        flagged = context.flags(criterion)
        if flagged:
            reading = replace(reading, reason=f"flagged ({', '.join(context.begging)}): {reading.reason}")
        sample = context.sample
        return Score(
            run_id=sample.run_id,
            tenant_id=sample.tenant_id,
            criterion=criterion.name,
            value=reading.value,
            reason=reading.reason,
            judge_model=self.judge.name if criterion.needs_judge else CODE,
            rubric_version=criterion.rubric_version,
            weight=sample.weight,
            graph=sample.graph,
            provider=sample.provider,
            model=sample.model,
            prompt_version=sample.prompt_version,
            stratum=sample.stratum,
            base=sample.base,
            flagged=flagged,
            applies=reading.applies,
        )


def _failed(criterion: Criterion, sample: Sample, failure: BaseException) -> Reading:
    if isinstance(failure, MainstayError):
        return Reading(value=None, reason=failure.code)
    logger.warning("criterion %s failed on run %s", criterion.name, sample.run_id, exc_info=failure)
    return Reading(value=None, reason=type(failure).__name__)
