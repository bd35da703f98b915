"""A score's mean: what is found, how soon, how often wrongly, and how an episode ends."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from benchmarks.drift.charts import Charts
from benchmarks.drift.measure import delay, false_alarms
from benchmarks.drift.streams import GRADES, NORMAL, Kind
from evaluation.drift.cusum import average_run_length
from evaluation.drift.level import Change, Level, LevelPolicy, Mood, What
from evaluation.drift.reference import Reference

BEGUN = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = LevelPolicy()
Scores = Callable[[float, int], list[float]]


@pytest.fixture
def scores() -> Scores:
    """Scores of a deviation of 1.5 around a mean, so many, always the same ones."""
    random = np.random.default_rng(10)
    return lambda mean, count: (mean + 1.5 * random.standard_normal(count)).tolist()


def watch(values: Iterable[float], level: Level = Level(), policy: LevelPolicy = POLICY) -> tuple[Level, list[Change]]:  # noqa: B008
    """What is known after these values, a minute apart, and what was seen to change."""
    changes = []
    for minute, value in enumerate(values):
        level, change = level.observe(value, BEGUN + timedelta(minutes=minute), policy)
        changes += [] if change is None else [change]
    return level, changes


def test_a_fall_is_told_of_once_with_what_it_was_and_is(scores: Scores) -> None:
    """One change for one episode, however long it lasts, dated to about where it began."""
    level, [change] = watch(scores(8.5, 2000) + scores(8.0, 1500))
    assert (change.what, change.test) == (What.WORSENED, "slow CUSUM")
    assert change.before == pytest.approx(8.5, abs=0.1)
    assert change.after == pytest.approx(8.0, abs=0.35)
    assert abs((change.since - BEGUN) / timedelta(minutes=1) - 2000) < 100
    assert level.mood is Mood.WORSE


def test_a_collapse_is_told_of_within_thirty_answers(scores: Scores) -> None:
    level, [change] = watch(scores(8.5, 1000) + scores(6.2, 30))
    assert (change.what, level.mood) == (What.COLLAPSED, Mood.COLLAPSED)


def test_a_fall_that_goes_on_to_a_collapse_is_told_of_again(scores: Scores) -> None:
    """What pages somebody must not be hidden behind what only warned."""
    _, changes = watch(scores(8.5, 2000) + scores(8.0, 400) + scores(6.0, 60))
    assert [change.what for change in changes] == [What.WORSENED, What.COLLAPSED]


def test_an_episode_ends_when_scores_are_back_and_the_next_begins_anew(scores: Scores) -> None:
    """The reference stands still meanwhile: what is bad for long does not become what is usual."""
    low, [_] = watch(scores(8.5, 1000) + scores(6.2, 2000))
    level, [back] = watch(scores(8.5, 300), low)
    assert back.what is What.RECOVERED
    assert level.mood is Mood.CALM
    assert level.reference.mean == pytest.approx(8.5, abs=0.1)
    _, [again] = watch(scores(6.2, 60), level)
    assert again.what is What.COLLAPSED


def test_a_rise_settles_and_a_fall_back_from_it_is_a_fall(scores: Scores) -> None:
    _, changes = watch(scores(7.0, 1000) + scores(8.5, 2000) + scores(6.5, 200))
    assert [change.what for change in changes] == [What.IMPROVED, What.SETTLED, What.COLLAPSED]


def test_nothing_is_tested_before_the_warm_up_has_ended() -> None:
    _, changes = watch([9.0] * 50 + [1.0] * 50)
    assert changes == []


def test_scores_that_never_differ_do_not_make_every_other_one_a_change() -> None:
    """Their deviation is 0, which nothing can be divided by."""
    _, changes = watch([9.0] * 500 + [8.0])
    assert changes == []


@pytest.mark.parametrize("kind", [NORMAL, GRADES], ids=["normal", "grades"])
def test_the_simulation_watches_as_the_detector_does(kind: Kind) -> None:
    """What `python -m benchmarks.drift` measures is this detector: both tell at the same answers."""
    random = np.random.default_rng(3)
    before, after = kind.draw(random, 0.0), kind.draw(random, 1.0)
    values = np.array([before(4) for _ in range(600)] + [after(4) for _ in range(100)])
    charts = Charts(POLICY, 4)
    simulated = np.array([fell for fell, _ in map(charts.observe, values)])
    for stream in range(4):
        first = int(np.argmax(simulated[:, stream]))
        _, changes = watch(values[: first + 1, stream].tolist())
        assert simulated[first, stream]
        assert [change.what for change in changes] in ([What.WORSENED], [What.COLLAPSED])
        assert changes[0].statistic > changes[0].limit
        assert watch(values[:first, stream].tolist())[1] == []


def test_small_falls_are_seen_within_200_answers_and_large_ones_within_30() -> None:
    """The promise at its hardest: skewed whole grades, a reference learnt from 1,000 of them."""
    random = np.random.default_rng(1)
    small = delay(GRADES, random, fall=0.5, baseline=1000, streams=400, policy=POLICY)
    large = delay(GRADES, random, fall=2.3, baseline=1000, streams=400, policy=POLICY)
    assert small.mean - 2 * small.error < 200
    assert small.missed < 0.01
    assert large.mean < 30


def test_false_alarms_are_as_rare_as_theory_has_it() -> None:
    """With limits so low that there are some to count, Siegmund's approximation tells how many."""
    policy = LevelPolicy(slow_limit=12.0, fast_limit=99.0)
    found = false_alarms(NORMAL, np.random.default_rng(5), known=True, streams=500, answers=4000, policy=policy)
    expected = 2 * found.answers / average_run_length(-policy.slow_allowance, policy.slow_limit)
    assert found.fell + found.rose == pytest.approx(expected, rel=0.12)


def test_the_limits_promise_less_than_one_false_alarm_in_100000() -> None:
    """By theory, both sides of both pairs together; the simulation in the documentation has skewed scores as well."""
    slow = average_run_length(-POLICY.slow_allowance, POLICY.slow_limit)
    fast = average_run_length(-POLICY.fast_allowance, POLICY.fast_limit)
    assert 100_000 * (2 / slow + 2 / fast) < 0.5


def test_what_is_standardised_is_normal_from_the_first_answers_on() -> None:
    """A reference of ten values says nothing wrong of the next one: Wallace's approximation is within 0.01 of exact."""
    reference = Reference()
    for value in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0):
        reference = reference.with_value(value)
    assert (reference.mean, reference.deviation) == (pytest.approx(5.5), pytest.approx(3.0276504))
    # t = (14 - 5.5) / 3.0276504 * sqrt(10 / 11) = 2.676806 with 9 degrees; scipy: norm.isf(t.sf(2.676806, 9)) = 2.2362
    assert reference.standardise(14.0, min_deviation=0.25) == pytest.approx(2.2362, abs=0.01)
    assert reference.standardise(-3.0, min_deviation=0.25) == pytest.approx(-2.2362, abs=0.01)
