"""Judging as it goes on: a full queue, a store that fails, and which runs are taken."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from evaluation.criteria import CRITERIA
from evaluation.evaluator import Evaluator
from evaluation.sampler import sampled
from evaluation.scoring import Scoring
from services.errors import StoreUnavailable
from services.samples import Sample, Score
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
    assert (evaluator.queued, evaluator.dropped) == (2, 3)
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
    assert (len(scores.kept), evaluator.dropped) == (1, 1)


def test_sampling_is_by_hash_and_at_the_rate() -> None:
    """The same run is always in or always out; over many runs the share is the rate; 0 is none and 1 is all."""
    ids = [UUID(int=number * 7919) for number in range(20_000)]
    taken = sum(sampled(run_id, 0.05) for run_id in ids)
    assert 800 < taken < 1_200
    assert not any(sampled(run_id, 0.0) for run_id in ids)
    assert all(sampled(run_id, 1.0) for run_id in ids)
    assert {run_id for run_id in ids if sampled(run_id, 0.01)} <= {run_id for run_id in ids if sampled(run_id, 0.05)}
