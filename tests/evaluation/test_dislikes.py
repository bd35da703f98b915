"""Disliked runs on their way to the judge: as many as there is room for, each standing for as many as its rate says."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest

from evaluation.dislikes import AT_ONCE, Dislikes, DislikeTurn
from evaluation.evaluator import Evaluator
from evaluation.sampler import Sampler, SamplingPolicy, StratumPolicy, lot
from evaluation.scoring import Scoring
from services.errors import StoreUnavailable
from services.samples import Disliked, Sample, Stratum
from tests.evaluation.fakes import FakeJudge, FakeScores, a_sample
from tests.evaluation.test_sampler import ids


@dataclass
class FakeDislikes:
    """Disliked runs that nobody has looked at, in its own turn too; what is in `failures` is raised at a turn's end."""

    waiting: list[UUID]
    failures: list[Exception] = field(default_factory=list)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[DislikeTurn]:
        waiting = self.waiting
        try:
            yield self
            if self.failures:
                raise self.failures.pop()
        except BaseException:
            self.waiting = waiting
            raise

    async def due(self, limit: int) -> Sequence[Disliked]:
        return [Disliked(run_id=run_id, tenant_id="acme", graph="react") for run_id in self.waiting[:limit]]

    async def look_at(self, rates: Mapping[UUID, float]) -> Sequence[UUID]:
        self.waiting = [run_id for run_id in self.waiting if run_id not in rates]
        return list(rates)

    async def samples(self, run_ids: Sequence[UUID]) -> Sequence[Sample]:
        return [replace(a_sample(), run_id=run_id, stratum=Stratum.DISLIKED, base=False) for run_id in run_ids]


class _Enough(Exception):
    """Ends what goes on for ever."""


class Offered(Evaluator):
    """An evaluator that remembers what it was offered, and judges nothing."""

    def __init__(self, queue_size: int) -> None:
        super().__init__(
            scoring=Scoring(criteria=[], judge=FakeJudge()), scores=FakeScores(), queue_size=queue_size, concurrency=1
        )
        self.samples: list[Sample] = []

    def offer(self, sample: Sample) -> None:
        self.samples.append(sample)
        super().offer(sample)


def a_sampler(rate: float) -> Sampler:
    strata = {Stratum.DISLIKED: StratumPolicy(rate=rate, per_minute=None)}
    return Sampler(SamplingPolicy(base_rate=0.05, strata=strata))


async def test_disliked_runs_are_taken_at_their_rate() -> None:
    """By their lots, and they weigh accordingly."""
    evaluator, runs = Offered(1_000), ids(AT_ONCE)
    assert await Dislikes(FakeDislikes(runs), a_sampler(0.5), evaluator).look() == AT_ONCE
    assert [sample.run_id for sample in evaluator.samples] == [run_id for run_id in runs if lot(run_id) < 0.5]
    assert {(sample.weight, sample.base) for sample in evaluator.samples} == {(2.0, False)}


async def test_no_more_are_looked_at_than_half_the_room() -> None:
    """The others wait where they are; with no room nothing is looked at."""
    waiting, evaluator = FakeDislikes(ids(20)), Offered(8)
    dislikes = Dislikes(waiting, a_sampler(1.0), evaluator)
    assert [await dislikes.look() for _ in range(5)] == [4, 2, 1, 0, 0]
    assert (evaluator.queued, len(waiting.waiting), evaluator.dropped) == (7, 13, {})


async def looked_at(waiting: FakeDislikes, evaluator: Offered, *, times: int) -> list[float]:
    """The pauses between looks, until there were so many."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == times:
            raise _Enough

    with pytest.raises(_Enough):
        await Dislikes(waiting, a_sampler(1.0), evaluator).look_forever(every_s=5.0, sleep=sleep)
    return slept


async def test_as_long_as_there_are_more_there_is_no_pause() -> None:
    waiting, evaluator = FakeDislikes(ids(2 * AT_ONCE + 1)), Offered(1_000)
    assert await looked_at(waiting, evaluator, times=1) == [5.0]
    assert len(evaluator.samples) == 2 * AT_ONCE + 1


@pytest.mark.parametrize("failure", [StoreUnavailable("down"), RuntimeError("a bug")])
async def test_whatever_fails_is_tried_again(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """A store that is away, and what nobody foresaw; no run is lost by it, though some may be judged twice."""
    waiting, evaluator = FakeDislikes(ids(3), [failure]), Offered(1_000)
    assert await looked_at(waiting, evaluator, times=2) == [5.0, 5.0]
    assert {sample.run_id for sample in evaluator.samples} == set(ids(3))
    assert not waiting.waiting
    assert "looked at" in caplog.text or "looking at" in caplog.text
