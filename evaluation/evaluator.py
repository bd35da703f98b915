"""Finished runs in, scores out: a bounded queue and a few workers, never in anybody's way.

A full queue drops what comes and counts it. A criterion that fails, in whatever way, gives an unscored value with the reason;
the next criterion and the next sample are judged all the same.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from evaluation.criteria.types import Criterion, Judge, Reading
from services.errors import MainstayError, StoreUnavailable
from services.samples import Sample, Score

logger = logging.getLogger(__name__)


class ScoreStore(Protocol):
    async def add(self, scores: Sequence[Score]) -> None:
        """Store scores. Raises StoreUnavailable."""
        ...


class ScoreObserver(Protocol):
    """Told of the scores of a sample, stored or not. Must neither wait nor raise."""

    def scored(self, sample: Sample, scores: Sequence[Score]) -> None: ...


class Evaluator:
    """The judging of one replica. `start` and `stop` belong to the loop that runs it."""

    def __init__(
        self,
        *,
        criteria: Sequence[Criterion],
        judge: Judge,
        scores: ScoreStore,
        queue_size: int,
        concurrency: int,
        observers: Sequence[ScoreObserver] = (),
    ) -> None:
        self._criteria = tuple(criteria)
        self._judge = judge
        self._scores = scores
        self._observers = tuple(observers)
        self._queue: asyncio.Queue[Sample] = asyncio.Queue(queue_size)
        self._concurrency = concurrency
        self._workers: list[asyncio.Task[None]] = []
        self.dropped = 0

    @property
    def queued(self) -> int:
        return self._queue.qsize()

    def offer(self, sample: Sample) -> None:
        """Queue a sample, or drop and count it when the queue is full."""
        try:
            self._queue.put_nowait(sample)
        except asyncio.QueueFull:
            self.dropped += 1

    def start(self) -> None:
        """Start the workers."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]

    async def stop(self) -> None:
        """Stop the workers; what is queued is lost, since a score is worth less than a prompt shutdown."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until everything offered so far has been judged."""
        await self._queue.join()

    async def _work(self) -> None:
        while True:
            sample = await self._queue.get()
            try:
                await self._judge_all(sample)
            finally:
                self._queue.task_done()

    async def _judge_all(self, sample: Sample) -> None:
        # gather, here and below, makes whatever is raised a value, while cancelling the worker still ends it: criteria
        # and stores are other people's code, and a worker that one of them ends is not replaced.
        scores = [await self._score(criterion, sample) for criterion in self._criteria]
        for observer in self._observers:
            observer.scored(sample, scores)
        [failure] = await asyncio.gather(self._scores.add(scores), return_exceptions=True)
        if failure is not None:
            self.dropped += 1
            trace = None if isinstance(failure, StoreUnavailable) else failure
            logger.warning("scores of run %s could not be stored", sample.run_id, exc_info=trace)

    async def _score(self, criterion: Criterion, sample: Sample) -> Score:
        [score] = await asyncio.gather(self._read(criterion, sample), return_exceptions=True)
        if not isinstance(score, BaseException):
            return score
        if isinstance(score, MainstayError):
            return self._scored(criterion, sample, Reading(value=None, reason=score.code))
        logger.warning("criterion %s failed on run %s", criterion.name, sample.run_id, exc_info=score)
        return self._scored(criterion, sample, Reading(value=None, reason=type(score).__name__))

    async def _read(self, criterion: Criterion, sample: Sample) -> Score:
        return self._scored(criterion, sample, await criterion.read(sample, self._judge))

    def _scored(self, criterion: Criterion, sample: Sample, reading: Reading) -> Score:
        return Score(
            run_id=sample.run_id,
            tenant_id=sample.tenant_id,
            criterion=criterion.name,
            value=reading.value,
            reason=reading.reason,
            judge_model=self._judge.model,
            rubric_version=criterion.rubric_version,
            weight=sample.weight,
        )
