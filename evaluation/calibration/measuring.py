"""What a judge makes of a labelled set, one question at a time, until all are answered or the time is up."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from evaluation.calibration.journal import Journal
from evaluation.calibration.labelled import Labelled, Pair
from evaluation.calibration.record import Calibration, calibrated
from evaluation.criteria.types import Context, Criterion, Judge, Reading
from evaluation.preference import PREFERENCE, preference


class OutOfTime(Exception):
    """There are questions left; the journal keeps what was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """One judge, and what is known of it. `until` is a time of `clock` after which nothing more is asked."""

    judge: Judge
    journal: Journal
    today: str
    until: float = float("inf")
    clock: Callable[[], float] = time.monotonic

    async def answers(self, criteria: Sequence[Criterion], items: Sequence[Labelled], name: str) -> list[Calibration]:
        """Calibrate criteria on the items of a set that have a label for them. Raises OutOfTime, and as the judge does."""
        for item in items:  # one item after the other: what criteria share of a prompt is then in the provider's cache
            for criterion in criteria:
                if criterion.name in item.labels:
                    await self._reading(criterion, item, name)
        found = [await self._calibration(criterion, items, name) for criterion in criteria]
        return [one for one in found if one is not None]

    async def _calibration(self, criterion: Criterion, items: Sequence[Labelled], name: str) -> Calibration | None:
        mine = [item for item in items if criterion.name in item.labels]
        return calibrated(
            [(await self._reading(criterion, item, name)).value for item in mine],
            [item.labels[criterion.name] for item in mine],
            criterion.scale,
            criterion=criterion.name,
            judge_model=self.judge.name,
            rubric_version=criterion.rubric_version,
            labelled_set=name,
            measured_on=self.today,
        )

    async def _reading(self, criterion: Criterion, item: Labelled, name: str) -> Reading:
        context = Context(sample=item.sample, judge=self.judge)
        key = (name, item.id, criterion.name, criterion.rubric_version, self.judge.name)
        return await self.read(key, lambda: criterion.read(context))

    async def pairs(self, items: Sequence[Pair], name: str) -> Calibration | None:
        """Calibrate the judge's preference between two answers. Raises as `answers`."""
        values = [(await self._preferred(item, name)).value for item in items]
        return calibrated(
            values,
            [float(item.first_is_better) for item in items],
            PREFERENCE.scale,
            criterion=PREFERENCE.name,
            judge_model=self.judge.name,
            rubric_version=PREFERENCE.version,
            labelled_set=name,
            measured_on=self.today,
        )

    async def _preferred(self, item: Pair, name: str) -> Reading:
        key = (name, item.id, PREFERENCE.name, PREFERENCE.version, self.judge.name)
        return await self.read(key, lambda: preference(self.judge, item.instruction, item.first, item.second))

    async def read(self, key: Sequence[str], ask: Callable[[], Awaitable[Reading]]) -> Reading:
        """Return what the judge says, or said before."""
        if not self.journal.has(key) and self.clock() > self.until:
            raise OutOfTime
        return await self.journal.read(key, ask)
