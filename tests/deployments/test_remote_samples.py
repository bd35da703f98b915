"""Samples on their way to the evaluator: so many at most, each for so long at most, and whatever is lost is counted."""

import asyncio
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from deployments.remote import Handle, RemoteSamples
from services.samples import Sample
from services.telemetry.metrics import Metric
from tests.evaluation.test_evaluator import a_sample


@dataclass
class Evaluators:
    """The evaluator's replicas behind a handle. Without an `answer` they say nothing."""

    answer: BaseException | None = None
    silent: bool = False
    sent: int = 0
    cancelled: int = 0
    drops: Counter[str] = field(default_factory=Counter)

    def options(self, **_: Any) -> "Evaluators":
        return self

    def remote(self, sample: Sample) -> "Response":
        self.sent += 1
        return Response(self)

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        self.drops[labels["reason"]] += int(value)


@dataclass
class Response:
    evaluators: Evaluators

    def __await__(self) -> Generator[Any, None, None]:
        if self.evaluators.answer is not None:
            raise self.evaluators.answer
        if self.evaluators.silent:
            yield from asyncio.Event().wait().__await__()

    def cancel(self) -> None:
        self.evaluators.cancelled += 1


async def offer(evaluators: Evaluators, count: int) -> None:
    """Offer so many at once, and wait until nothing is on its way."""
    samples = RemoteSamples(cast(Handle, evaluators), evaluators, max_sending=3, timeout_s=0.01)
    for _ in range(count):
        samples.offer(a_sample())
    while samples._sending:
        await asyncio.wait(samples._sending)


async def test_an_evaluator_that_says_nothing_holds_so_many_samples_for_so_long() -> None:
    """What comes beyond them is dropped at once; those that are given up are taken back from the handle."""
    evaluators = Evaluators(silent=True)
    await offer(evaluators, 10)
    assert (evaluators.sent, evaluators.cancelled) == (3, 3)
    assert evaluators.drops == {"sending": 7, "unreachable": 3}


@pytest.mark.parametrize(
    "refusal", [BackPressureError(num_queued_requests=9, max_queued_requests=9), RayActorError()], ids=["full", "gone"]
)
async def test_an_evaluator_that_cannot_take_it_costs_the_sample(refusal: BaseException) -> None:
    """Nothing is raised, and nothing is tried again."""
    evaluators = Evaluators(answer=refusal)
    await offer(evaluators, 3)
    assert (evaluators.sent, evaluators.drops) == (3, {"unreachable": 3})


async def test_what_arrives_makes_room() -> None:
    """And is not counted."""
    evaluators = Evaluators()
    await offer(evaluators, 3)
    assert (evaluators.sent, evaluators.drops) == (3, {})
