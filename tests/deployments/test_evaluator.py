"""The evaluator's replica counts what is dropped."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn, cast

import pytest

from configs.settings import load
from deployments.composition.sampling import LiveSampling
from deployments.composition.telemetry import JudgingTraces
from deployments.drift import DriftWatch
from deployments.evaluator import EvaluatorParts, EvaluatorReplica
from evaluation.evaluator import Evaluator
from evaluation.scoring import Scoring
from services.errors import ConfigurationError
from services.limits.treasury import Treasury
from services.llm.gateway import Gateway
from services.samples import Drop, Stratum
from services.storage.database import Database
from services.telemetry.metrics import SAMPLES_DROPPED, Metric
from tests.evaluation.fakes import FakeJudge, FakeScores, a_sample


@dataclass
class FakeMeter:
    seen: list[tuple[Metric, float, Mapping[str, str]]] = field(default_factory=list)

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        self.seen.append((metric, value, labels))

    def close(self) -> None: ...


class Closeable:
    shown = 0
    closed = False

    def show(self) -> None:
        self.shown += 1

    async def aclose(self) -> None:
        self.closed = True

    async def close(self) -> None: ...

    def cancel(self) -> None: ...

    async def settle_all(self) -> bool:
        return True


class Replica(EvaluatorReplica):
    """Garbage collection calls `__del__` without awaiting it; Serve awaits it."""

    def __del__(self) -> None:  # type: ignore[override]
        return


async def a_replica(
    evaluator: Evaluator,
    meter: FakeMeter,
    sampling: LiveSampling,
    drift: Closeable | None = None,
    traces: Closeable | None = None,
) -> Replica:
    async def opened() -> EvaluatorParts:
        return EvaluatorParts(
            evaluator=evaluator,
            gateway=cast(Gateway, Closeable()),
            treasury=cast(Treasury, Closeable()),
            chores=(cast("asyncio.Task[NoReturn]", Closeable()),),
            sampling=sampling,
            meter=meter,
            traces=cast(JudgingTraces, traces or Closeable()),
            database=cast(Database, Closeable()),
            drift=cast(DriftWatch, drift or Closeable()),
        )

    replica = Replica.__new__(Replica)
    await replica.__init__(opened)  # type: ignore[misc]  # as Serve does it
    return replica


def an_evaluator() -> Evaluator:
    scoring = Scoring(criteria=[], judge=FakeJudge())
    return Evaluator(scoring=scoring, scores=FakeScores(), queue_size=1, concurrency=1)


async def test_sampling_changes_live() -> None:
    """As the agents' does, since both decide who is judged; a wrong one is refused, and the old one stays."""
    evaluator, sampling = an_evaluator(), LiveSampling(load(), "evaluator")
    replica = await a_replica(evaluator, FakeMeter(), sampling)
    replica.reconfigure({"sampling": {"disliked": {"rate": 0.5}}})
    with pytest.raises(ConfigurationError, match=r"user_config of evaluator: sampling\.disliked\.rate"):
        replica.reconfigure({"sampling": {"disliked": {"rate": 2}}})
    await EvaluatorReplica.__del__(replica)
    assert sampling.sampler.rate("react", "acme", Stratum.DISLIKED) == 0.5


async def test_the_last_spans_are_sent_when_a_replica_stops() -> None:
    """A collector's queue is in the replica's memory."""
    traces = Closeable()
    replica = await a_replica(an_evaluator(), FakeMeter(), LiveSampling(load(), "evaluator"), traces=traces)
    await EvaluatorReplica.__del__(replica)
    assert traces.closed


async def test_drops_are_counted_once_each() -> None:
    """The meter is told the difference since the last time, after an offer and whenever Serve asks."""
    meter, evaluator = FakeMeter(), an_evaluator()
    replica = await a_replica(evaluator, meter, LiveSampling(load(), "evaluator"))
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


async def test_what_is_watched_is_shown_whenever_serve_asks() -> None:
    """Ray forgets a gauge that is not set again."""
    drift = Closeable()
    replica = await a_replica(an_evaluator(), FakeMeter(), LiveSampling(load(), "evaluator"), drift=drift)
    replica.record_autoscaling_stats()
    replica.record_autoscaling_stats()
    await EvaluatorReplica.__del__(replica)
    assert drift.shown == 2
