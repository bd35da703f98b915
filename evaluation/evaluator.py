"""Finished runs in, scores out: a bounded queue and a few workers, never in anybody's way.

A full queue drops what comes and counts it. A store that fails costs the scores of one run; the next is judged all the same.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from evaluation.scoring import Scoring
from services.errors import StoreUnavailable
from services.samples import Drop, Sample, Score

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
        scoring: Scoring,
        scores: ScoreStore,
        queue_size: int,
        concurrency: int,
        observers: Sequence[ScoreObserver] = (),
    ) -> None:
        self._scoring = scoring
        self._scores = scores
        self._observers = tuple(observers)
        self._queue: asyncio.Queue[Sample] = asyncio.Queue(queue_size)
        self._concurrency = concurrency
        self._workers: list[asyncio.Task[None]] = []
        self.dropped: Counter[Drop] = Counter()

    @property
    def queued(self) -> int:
        return self._queue.qsize()

    @property
    def room(self) -> int:
        """How many more samples the queue takes."""
        return self._queue.maxsize - self._queue.qsize()

    def offer(self, sample: Sample) -> None:
        """Queue a sample, or drop and count it when the queue is full."""
        try:
            self._queue.put_nowait(sample)
        except asyncio.QueueFull:
            self.dropped[Drop.QUEUE] += 1

    def start(self) -> None:
        """Start the workers."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]

    async def stop(self) -> None:
        """Stop the workers; what is queued is dropped, since a score is worth less than a prompt shutdown."""
        self.dropped[Drop.STOPPED] += self.queued
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
        scores = await self._scoring.of(sample)
        for observer in self._observers:
            observer.scored(sample, scores)
        # gather makes whatever is raised a value, while cancelling the worker still ends it: a store is other people's code,
        # and a worker that it ends is not replaced.
        [failure] = await asyncio.gather(self._scores.add(scores), return_exceptions=True)
        if failure is not None:
            self.dropped[Drop.STORE] += 1
            trace = None if isinstance(failure, StoreUnavailable) else failure
            logger.warning("scores of run %s could not be stored", sample.run_id, exc_info=trace)
