"""The evaluator's replica counts what is dropped."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn, cast

from configs.settings import load
from deployments.composition.sampling import LiveSampling
from deployments.evaluator import EvaluatorParts, EvaluatorReplica
from evaluation.evaluator import Evaluator
from evaluation.scoring import Scoring
from services.limits.treasury import Treasury
from services.llm.gateway import Gateway
from services.samples import Drop
from services.storage.database import Database
from services.telemetry.metrics import METRICS, SAMPLES_DROPPED, Metric
from tests.evaluation.fakes import FakeJudge, FakeScores, a_sample


@dataclass
class FakeMeter:
    seen: list[tuple[Metric, float, Mapping[str, str]]] = field(default_factory=list)

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        self.seen.append((metric, value, labels))

    def close(self) -> None: ...


class Closeable:
    async def aclose(self) -> None: ...

    async def close(self) -> None: ...

    def cancel(self) -> None: ...

    async def settle_all(self) -> bool:
        return True


class Replica(EvaluatorReplica):
    """Garbage collection calls `__del__` without awaiting it; Serve awaits it."""

    def __del__(self) -> None:  # type: ignore[override]
        return


async def test_drops_are_counted_once_each() -> None:
    """The meter is told the difference since the last time, after an offer and whenever Serve asks."""
    meter = FakeMeter()
    evaluator = Evaluator(
        scoring=Scoring(criteria=[], judge=FakeJudge()), scores=FakeScores(), queue_size=1, concurrency=1
    )

    async def opened() -> EvaluatorParts:
        return EvaluatorParts(
            evaluator=evaluator,
            gateway=cast(Gateway, Closeable()),
            treasury=cast(Treasury, Closeable()),
            chores=(cast("asyncio.Task[NoReturn]", Closeable()),),
            sampling=LiveSampling(load(["local"]), "evaluator"),
            meter=meter,
            database=cast(Database, Closeable()),
        )

    replica = Replica.__new__(Replica)
    await replica.__init__(opened)  # type: ignore[misc]  # as Serve does it
    for _ in range(3):
        await replica.offer(a_sample())
    evaluator.dropped[Drop.STORE] += 2
    replica.record_autoscaling_stats()
    replica.record_autoscaling_stats()
    await EvaluatorReplica.__del__(replica)
    assert meter.seen[:2] == [(SAMPLES_DROPPED, 1.0, {"reason": "queue"})] * 2
    assert meter.seen[2:] == [
        (SAMPLES_DROPPED, 2.0, {"reason": "store"}),
        (SAMPLES_DROPPED, 1.0, {"reason": "stopped"}),
    ]
