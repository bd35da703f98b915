"""The `evaluator` deployment: judges samples of finished runs. Never on the path of an answer."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from deployments.autoscaling import UNSEEN_WORK
from deployments.composition.sampling import LiveSampling
from deployments.composition.telemetry import JudgingTraces
from deployments.drift import DriftWatch
from deployments.knobs import EvaluatorKnobs
from evaluation.evaluator import Evaluator
from services.limits.treasury import Treasury
from services.llm.gateway import Gateway
from services.samples import Drop, Sample
from services.storage.database import Database
from services.telemetry.metrics import SAMPLES_DROPPED
from services.telemetry.summing import SummingMeter


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorParts:
    """What an evaluator replica is made of; opened on the replica's own loop."""

    evaluator: Evaluator
    gateway: Gateway
    treasury: Treasury
    chores: "tuple[asyncio.Task[NoReturn], ...]"
    sampling: LiveSampling
    meter: SummingMeter
    traces: JudgingTraces
    database: Database
    drift: DriftWatch


OpenEvaluator = Callable[[], Awaitable[EvaluatorParts]]


class EvaluatorReplica:
    """`offer` returns at once: it queues the sample, or drops and counts it when the queue is full."""

    async def __init__(self, open_evaluator: OpenEvaluator) -> None:  # type: ignore[misc]  # Serve awaits it
        self._parts = await open_evaluator()
        self._reported_drops: Counter[Drop] = Counter()
        self._parts.evaluator.start()

    async def offer(self, sample: Sample) -> None:
        self._parts.evaluator.offer(sample)
        self._report_drops()

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Apply the live knobs. A wrong one is refused with a message, and the old ones stay."""
        knobs = EvaluatorKnobs.parse(user_config)
        self._parts.sampling.configure(self._parts.sampling.laid_over(knobs.sampling))

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Report what is queued: `offer` returns at once, so Serve's count of requests shows none of it.

        Serve asks at intervals, which is also when drops that no offer follows are counted, those of a store that is down, and
        when gauges are set again.
        """
        self._report_drops()
        self._parts.drift.show()
        return {UNSEEN_WORK: float(self._parts.evaluator.queued)}

    async def check_health(self) -> None:
        """Alive when the loop answers."""

    async def __del__(self) -> None:
        """Called and awaited by Serve on a graceful stop."""
        for chore in self._parts.chores:
            chore.cancel()
        await self._parts.evaluator.stop()
        await self._parts.drift.close()
        await self._parts.treasury.settle_all()
        self._report_drops()
        await self._parts.gateway.aclose()
        await self._parts.traces.aclose()
        await self._parts.database.close()
        self._parts.meter.close()

    def _report_drops(self) -> None:
        new = self._parts.evaluator.dropped - self._reported_drops
        for reason, count in new.items():
            self._parts.meter.record(SAMPLES_DROPPED, float(count), {"reason": reason})
        self._reported_drops += new
