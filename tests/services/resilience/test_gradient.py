"""The limit's arithmetic: when it grows, when it falls, and what does not move it."""

import heapq
import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from services.errors import ConfigurationError
from services.resilience.gradient import Gradient, GradientPolicy
from tests.services.resilience.timeline import Timeline


def window(gradient: Gradient, time: Timeline, latency_s: float, in_use: int | None = None) -> None:
    """One window of equal samples, at the limit unless `in_use` says otherwise."""
    time.now += 0.25
    for _ in range(20):
        gradient.sample(latency_s, gradient.limit if in_use is None else in_use)


def warmed_up(time: Timeline, latency_s: float = 1.0, **policy: Any) -> Gradient:
    """A gradient that knows a base latency and has its initial limit still, because nobody used it."""
    gradient = Gradient(GradientPolicy(**policy), time)
    for _ in range(12):
        window(gradient, time, latency_s, in_use=1)
    return gradient


Latency = Callable[[random.Random, int], float]


def driven(gradient: Gradient, time: Timeline, latency: Latency, seconds: float, seed: int = 1) -> None:
    """Callers who always use the whole limit, of a provider that takes `latency(random, under_way)` for each."""
    drawn, end = random.Random(seed), time.now + seconds
    under_way: list[tuple[float, float]] = []
    while time.now < end:
        while len(under_way) < gradient.limit:
            latency_s = latency(drawn, len(under_way) + 1)
            heapq.heappush(under_way, (time.now + latency_s, latency_s))
        in_use = len(under_way)
        time.now, latency_s = heapq.heappop(under_way)
        gradient.sample(latency_s, in_use)


def test_flat_latency_lets_the_limit_grow_slowly() -> None:
    """At the base latency each window adds the queue size times the smoothing: 0.8 calls."""
    time = Timeline()
    gradient = warmed_up(time)
    for _ in range(10):
        window(gradient, time, 1.0)
    assert gradient._exact == pytest.approx(108.0)


@pytest.mark.parametrize(
    ("latency_s", "limit"), [(1.49, 100.8), (2.0, 95.8), (3.0, 90.8)], ids=["tolerated", "twice", "three times"]
)
def test_latency_over_the_tolerated_takes_from_the_limit(latency_s: float, limit: float) -> None:
    """The gradient is 1 up to 1.5 x the base, 0.75 at 2 x, 0.5 at 3 x; a change has a fifth of the weight."""
    time = Timeline()
    gradient = warmed_up(time)
    window(gradient, time, latency_s)
    assert gradient._exact == pytest.approx(limit, abs=0.1)


@pytest.mark.parametrize("windows", [8, 12], ids=["warming up", "warm"])
def test_no_window_takes_more_than_half(windows: int) -> None:
    """A provider that hangs for a moment costs a tenth of the limit: half, with a fifth of the weight."""
    time = Timeline()
    gradient = Gradient(GradientPolicy(queue_size=1), time)
    for _ in range(windows):
        window(gradient, time, 1.0, in_use=1)
    window(gradient, time, 100.0)
    assert 90 <= gradient.limit <= 91


def test_a_limit_that_nobody_uses_stays() -> None:
    """Below half of the limit neither flat nor rising latency says anything about it."""
    time = Timeline()
    gradient = warmed_up(time)
    for latency_s in (1.0, 5.0):
        for _ in range(20):
            window(gradient, time, latency_s, in_use=49)
    assert gradient.limit == 100
    window(gradient, time, 1.0, in_use=50)
    assert gradient._exact > 100


def test_the_busiest_moment_of_a_window_counts() -> None:
    """A window in which the limit was reached once is one in which it was used."""
    time = Timeline()
    gradient = warmed_up(time)
    gradient.sample(1.0, 100)
    window(gradient, time, 1.0, in_use=1)
    assert gradient._exact == pytest.approx(100.8)


def test_the_limit_stays_within_its_bounds() -> None:
    """However good or bad a provider is, the limit is neither below its minimum nor above its maximum."""
    time = Timeline()
    gradient = warmed_up(time, max_limit=110, min_limit=60)
    for _ in range(100):
        window(gradient, time, 1.0)
    assert gradient.limit == 110
    for _ in range(100):
        window(gradient, time, 60.0)
        gradient.decrease()
    assert gradient.limit == 60


def test_equal_bounds_make_the_limit_static() -> None:
    """The initial limit gives way to the bounds, so pinning a limit takes two numbers."""
    time = Timeline()
    gradient = Gradient(GradientPolicy(min_limit=7, max_limit=7), time)
    assert gradient.limit == 7
    for latency_s in (1.0, 9.0):
        window(gradient, time, latency_s)
    gradient.decrease()
    assert gradient.limit == 7


def test_a_window_takes_its_time_and_its_samples() -> None:
    """A burst of samples in one instant, or a few over a long time, change nothing yet."""
    time = Timeline()
    gradient = Gradient(GradientPolicy(), time)
    for _ in range(500):
        gradient.sample(1.0, 100)
    assert gradient.latency_s is None
    time.now += 0.25
    gradient.sample(1.0, 100)
    assert gradient.latency_s == 1.0
    time.now += 60.0
    for _ in range(19):
        gradient.sample(2.0, 100)
    assert gradient.latency_s == 1.0
    gradient.sample(2.0, 100)
    assert gradient.latency_s == 2.0


def test_many_refusals_at_once_are_one() -> None:
    """A hundred calls that are refused together take thirty per cent; the next second's refusal takes as much again."""
    time = Timeline()
    gradient = Gradient(GradientPolicy(), time)
    for _ in range(100):
        gradient.decrease()
    assert gradient.limit == 70
    time.now += 1.0
    gradient.decrease()
    assert gradient.limit == 49


def test_the_limit_settles_near_what_a_provider_carries() -> None:
    """A provider that queues beyond 60 calls is given somewhat more than that, for latency up to 1.5 x is tolerated."""
    time = Timeline()
    gradient = Gradient(GradientPolicy(initial=40), time)
    driven(gradient, time, lambda drawn, under_way: drawn.uniform(0.4, 0.6) * max(1.0, under_way / 60), 120.0)
    assert 60 < gradient.limit < 60 * 1.5 * 1.5


def test_the_limit_falls_when_a_provider_weakens_and_comes_back_after_it() -> None:
    """Where capacity drops to a quarter the limit follows within seconds, and grows again once the provider has recovered."""
    time = Timeline()
    gradient = Gradient(GradientPolicy(initial=200), time)
    driven(gradient, time, lambda drawn, _: drawn.uniform(0.4, 0.6), 5.0)
    healthy = gradient.limit
    assert healthy >= 200
    driven(gradient, time, lambda drawn, under_way: drawn.uniform(0.4, 0.6) * max(1.0, under_way / 50), 20.0)
    weakened = gradient.limit
    assert weakened < healthy / 1.5
    driven(gradient, time, lambda drawn, _: drawn.uniform(0.4, 0.6), 60.0)
    assert gradient.limit > weakened + 100


def test_a_base_latency_learnt_in_an_overload_is_forgotten_quickly() -> None:
    """Once windows are more than twice as fast as the base it falls by a tenth each: 20 s become 3 s within five seconds."""
    time = Timeline()
    gradient = warmed_up(time, latency_s=20.0)
    for _ in range(20):
        window(gradient, time, 1.0)
    assert gradient._base_s < 3.0


def test_the_base_latency_follows_time_not_windows() -> None:
    """A minute at twice the latency takes the base nearly a fifth of the way; an hour's pause counts as one second."""
    time = Timeline()
    gradient = warmed_up(time)
    for _ in range(240):
        window(gradient, time, 2.0)
    assert gradient._base_s == pytest.approx(2.0 - math.exp(-0.2), abs=0.01)
    before = gradient._base_s
    time.now += 3_600.0
    window(gradient, time, before + 1.0)
    assert gradient._base_s == pytest.approx(before + 2 / 600)


@pytest.mark.parametrize("seed", range(3))
def test_outliers_do_not_bring_the_limit_down(seed: int) -> None:
    """Three calls in a hundred that take 30 s where the others take 2 s are no sign of queueing, nor is a wide spread."""

    def tailed(drawn: random.Random, _: int) -> float:
        return 30.0 if drawn.random() < 0.03 else drawn.lognormvariate(0.6, 0.4)

    def wide(drawn: random.Random, _: int) -> float:
        return drawn.expovariate(1.0)

    for latency in (tailed, wide):
        time = Timeline()
        gradient = Gradient(GradientPolicy(), time)
        driven(gradient, time, latency, 60.0, seed=seed)
        assert gradient.limit > 100


def test_calls_that_take_no_time_are_no_trouble() -> None:
    """A provider within the process may answer within the clock's resolution."""
    time = Timeline()
    gradient = Gradient(GradientPolicy(), time)
    for _ in range(20):
        window(gradient, time, 0.0)
    assert gradient._exact == pytest.approx(116.0)


@pytest.mark.parametrize(
    "policy", [{"min_limit": 0}, {"min_limit": 30, "max_limit": 20}, {"smoothing": 1.1}, {"decrease_factor": 0.0}]
)
def test_numbers_that_cannot_work_are_refused(policy: dict[str, Any]) -> None:
    """A limit that would admit nothing is refused by its key, before anything runs."""
    with pytest.raises(ConfigurationError, match=r"limit\."):
        GradientPolicy(**policy)
