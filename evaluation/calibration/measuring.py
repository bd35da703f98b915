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

    async def answers(self, criterion: Criterion, items: Sequence[Labelled], name: str) -> Calibration | None:
        """Calibrate a criterion on the items of a set that have a label for it. Raises OutOfTime, and as the judge does."""
        mine = [item for item in items if criterion.name in item.labels]
        readings = []
        for item in mine:
            context = Context(sample=item.sample, judge=self.judge)
            key = (name, item.id, criterion.name, criterion.rubric_version, self.judge.name)
            readings.append(await self.read(key, lambda context=context: criterion.read(context)))  # type: ignore[misc]
        return calibrated(
            [reading.value for reading in readings],
            [item.labels[criterion.name] for item in mine],
            criterion.scale,
            criterion=criterion.name,
            judge_model=self.judge.name,
            rubric_version=criterion.rubric_version,
            labelled_set=name,
            measured_on=self.today,
        )

    async def pairs(self, items: Sequence[Pair], name: str) -> Calibration | None:
        """Calibrate the judge's preference between two answers. Raises as `answers`."""
        values = []
        for item in items:
            key = (name, item.id, PREFERENCE.name, PREFERENCE.version, self.judge.name)
            reading = await self.read(
                key,
                lambda item=item: preference(self.judge, item.instruction, item.first, item.second),  # type: ignore[misc]
            )
            values.append(reading.value)
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

    async def read(self, key: Sequence[str], ask: Callable[[], Awaitable[Reading]]) -> Reading:
        """Return what the judge says, or said before."""
        if not self.journal.has(key) and self.clock() > self.until:
            raise OutOfTime
        return await self.journal.read(key, ask)
