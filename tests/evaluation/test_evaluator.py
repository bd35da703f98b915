"""Judging as it goes on: a full queue, a store that fails, and which runs are taken."""

import asyncio
from collections.abc import Sequence

import pytest

from evaluation.criteria import CRITERIA
from evaluation.evaluator import Evaluator
from evaluation.scoring import Scoring
from services.errors import StoreUnavailable
from services.samples import Drop, Sample, Score
from tests.evaluation.fakes import FakeJudge, FakeScores, a_sample


def an_evaluator(judge: FakeJudge, scores: FakeScores, *, queue_size: int = 8) -> Evaluator:
    scoring = Scoring(criteria=[CRITERIA["helpfulness"]()], judge=judge)
    return Evaluator(scoring=scoring, scores=scores, queue_size=queue_size, concurrency=1)


async def test_scores_are_shown_to_whoever_watches() -> None:
    """With the sample that they are of, and also when they cannot be stored."""
    seen: list[tuple[Sample, list[Score]]] = []

    class Watching:
        def scored(self, sample: Sample, scores: Sequence[Score]) -> None:
            seen.append((sample, [*scores]))

    evaluator = Evaluator(
        scoring=Scoring(criteria=[CRITERIA["helpfulness"]()], judge=FakeJudge()),
        scores=FakeScores(failures=[StoreUnavailable("away")]),
        queue_size=8,
        concurrency=1,
        observers=[Watching()],
    )
    evaluator.start()
    sample = a_sample()
    evaluator.offer(sample)
    await evaluator.settled()
    await evaluator.stop()
    [(shown, scores)] = seen
    assert shown is sample
    assert [score.criterion for score in scores] == ["helpfulness"]


async def test_a_full_queue_drops_and_counts() -> None:
    """Offering never waits: what does not fit is counted as dropped, and the rest is judged."""
    scores, judge = FakeScores(), FakeJudge(held=asyncio.Event())
    evaluator = an_evaluator(judge, scores, queue_size=2)
    for _ in range(5):
        evaluator.offer(a_sample())
    assert (evaluator.queued, evaluator.room, evaluator.dropped) == (2, 0, {Drop.QUEUE: 3})
    assert judge.held is not None
    judge.held.set()
    evaluator.start()
    await evaluator.settled()
    await evaluator.stop()
    assert len(scores.kept) == 2


@pytest.mark.parametrize("failure", [StoreUnavailable("down"), ValueError("not a number")], ids=["outage", "bug"])
async def test_a_store_that_fails_costs_the_score_and_not_the_worker(failure: Exception) -> None:
    """The next sample is judged all the same."""
    scores = FakeScores(failures=[failure])
    evaluator = an_evaluator(FakeJudge(), scores)
    evaluator.start()
    evaluator.offer(a_sample())
    evaluator.offer(a_sample())
    await evaluator.settled()
    await evaluator.stop()
    assert (len(scores.kept), evaluator.dropped[Drop.STORE]) == (1, 1)


async def test_what_waits_when_the_replica_stops_is_counted() -> None:
    """It is dropped as any other sample that is not judged."""
    evaluator = an_evaluator(FakeJudge(), FakeScores())
    evaluator.offer(a_sample())
    await evaluator.stop()
    assert evaluator.dropped == {Drop.STOPPED: 1}
