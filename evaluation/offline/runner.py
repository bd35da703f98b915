"""Asks every case of a data set, so many at once, and keeps each as it ends."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evaluation.criteria import CRITERIA
from evaluation.criteria.types import CODE, Criterion, Judge, Reading
from evaluation.offline.checks import read as read_checks
from evaluation.offline.correctness import RUBRIC, correctness
from evaluation.offline.dataset import Case
from evaluation.offline.results import CaseResult, Journal, Measure
from evaluation.offline.target import Answered, Target, TargetUnusable, no_sample
from evaluation.scoring import Scoring, Screen
from services.errors import MainstayError

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, int], None]
"""Told how many cases are done, of how many, and how many of them failed."""

ANSWERED = Measure(name="answered", judge=CODE, version="1", kind="yes_no", highest=1.0, better="higher")
"""Whether the case came to an end that is an answer. What fails has no other score, so look at this one first."""

PASSED = Measure(name="passed", judge=CODE, version="1", kind="yes_no", highest=1.0, better="higher")
"""Whether all that the case expects is in the answer; a case that failed has not passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking:
    """How an answer is marked: by these criteria of the registry, and `correctness` where it is among them."""

    criteria: Sequence[str]
    judge: Judge
    screen: Screen = lambda _: ()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Everything that each case is measured by, in the order of the report. Raises ValueError for an unknown name."""
        return (ANSWERED, PASSED, *(self._measure(criterion) for criterion in self.criteria_for("")))

    def criteria_for(self, reference: str) -> list[Criterion]:
        """Return the criteria of a case with this reference. Raises ValueError for an unknown name."""
        check_criteria(self.criteria)
        return [correctness(reference) if name == RUBRIC.name else CRITERIA[name]() for name in self.criteria]

    async def of(self, case: Case, answered: Answered) -> dict[str, Reading]:
        """Return every measure of a case."""
        came = not answered.failure
        reason = answered.failure or "an answer"
        readings = {ANSWERED.name: Reading(value=float(came), reason=reason)}
        criteria = self.criteria_for(case.reference)
        if not came:
            passed = Reading(value=0.0 if case.expect else None, reason=reason)
            lost = Reading(value=None, reason=f"no answer: {reason}")
            return {**readings, PASSED.name: passed, **{one.name: lost for one in criteria}}
        readings[PASSED.name] = read_checks(case.expect, answered.sample)
        scores = await Scoring(criteria=criteria, judge=self.judge, screen=self.screen).of(answered.sample)
        return {**readings, **{one.criterion: Reading(value=one.value, reason=one.reason) for one in scores}}

    def _measure(self, criterion: Criterion) -> Measure:
        return Measure(
            name=criterion.name,
            judge=self.judge.name if criterion.needs_judge else CODE,
            version=criterion.rubric_version,
            kind=criterion.scale.kind,
            highest=criterion.scale.highest,
            unit=criterion.scale.unit,
            better=criterion.scale.better,
        )


def check_criteria(names: Sequence[str]) -> None:
    """Raise ValueError for a name that is none."""
    for name in names:
        if name not in CRITERIA and name != RUBRIC.name:
            raise ValueError(f"there is no criterion {name!r}; there are: {', '.join((*CRITERIA, RUBRIC.name))}")


class Runner:
    """`until` is a time of `clock` after which no further case is begun; those at work are finished."""

    def __init__(
        self,
        *,
        target: Target,
        marking: Marking,
        concurrency: int,
        progress: Progress = lambda done, total, failed: None,
        until: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._marking = marking
        self._concurrency = concurrency
        self._progress = progress
        self._until = until
        self._clock = clock

    async def run(self, cases: Sequence[Case], journal: Journal) -> None:
        """Ask what the journal does not have yet. Raises TargetUnusable; whatever else a case may end in is its result."""
        left = iter([case for case in cases if not journal.has(case.id)])
        self._tell(journal)

        async def work() -> None:
            for case in left:  # one iterator for all: a case is taken once
                if self._clock() >= self._until:
                    return
                journal.add(await self._one(case))
                self._tell(journal)

        workers = [asyncio.create_task(work()) for _ in range(self._concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _one(self, case: Case) -> CaseResult:
        answered = await self._asked(case)
        return CaseResult(
            id=case.id,
            question=case.question,
            reference=case.reference,
            tags=case.tags,
            answer=answered.sample.answer,
            tools=tuple(use.name for use in answered.sample.tool_uses),
            failure=answered.failure,
            readings=await self._marking.of(case, answered),
        )

    async def _asked(self, case: Case) -> Answered:
        # gather makes whatever is raised a value, while cancelling still ends us: targets are other people's code.
        [answered] = await asyncio.gather(self._target.answer(case), return_exceptions=True)
        if not isinstance(answered, BaseException):
            return answered
        if isinstance(answered, TargetUnusable):
            raise answered
        if not isinstance(answered, MainstayError):
            logger.warning("the target failed on case %s", case.id, exc_info=answered)
        code = answered.code if isinstance(answered, MainstayError) else type(answered).__name__
        return Answered(sample=no_sample(case), failure=code)

    def _tell(self, journal: Journal) -> None:
        found = journal.results
        self._progress(len(found.cases), found.conditions.cases, sum(bool(case.failure) for case in found.cases))
