"""Distributions: the two distances, what a window says, and how what has changed becomes what is usual."""

from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.drift.distances import kolmogorov_smirnov, population_stability_index
from evaluation.drift.level import Change, What
from evaluation.drift.windows import WindowPolicy, Windows

NOW = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = WindowPolicy()
FIRST = [1, 2, 2, 3, 4, 5, 7, 8, 9, 9.5] * 5
SECOND = [3, 4, 5, 6, 7, 8, 9, 10] * 5


def watch(values: Iterable[float], windows: Windows = Windows()) -> tuple[Windows, list[Change]]:  # noqa: B008
    changes = []
    for value in values:
        windows, change = windows.observe(value, NOW, POLICY)
        changes += [] if change is None else [change]
    return windows, changes


def seconds(count: int, median: float = 2.0, seed: int = 1) -> list[float]:
    """Latencies with a long tail."""
    return (median * np.exp(0.6 * np.random.default_rng(seed).standard_normal(count))).tolist()


def test_the_distance_of_two_samples_and_its_chance_are_those_of_scipy() -> None:
    """scipy.stats.ks_2samp(FIRST, SECOND, method="exact") says 0.3 and 0.0295."""
    distance, chance = kolmogorov_smirnov(FIRST, SECOND)
    assert distance == pytest.approx(0.3)
    assert chance == pytest.approx(0.0295, abs=0.001)


def test_the_chance_at_the_size_of_a_window_is_the_exact_one() -> None:
    """scipy's exact test of 500 and 200 values says 4.596e-4 of a distance of 0.170."""
    reference = [float(n) for n in range(500)]
    recent = [n * 2.5 + 85.25 for n in range(200)]
    distance, chance = kolmogorov_smirnov(reference, recent)
    assert distance == pytest.approx(0.17, abs=0.003)
    assert chance == pytest.approx(4.6e-4, rel=0.25)


def test_the_index_is_the_sum_over_deciles_by_hand() -> None:
    """Bins of 4 and 4, then of 1 and 7, half an answer more in each: -3/9 * ln(1.5/4.5) + 3/9 * ln(7.5/4.5) = 0.5365."""
    assert population_stability_index([1, 1, 1, 1, 2, 2, 2, 2], [1, 2, 2, 2, 2, 2, 2, 2]) == pytest.approx(
        0.5365, abs=1e-4
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=20, max_size=60))
def test_a_sample_is_at_no_distance_from_itself(values: list[float]) -> None:
    """Whatever the values are, equal ones among them."""
    assert population_stability_index(values, values) == pytest.approx(0.0)
    assert kolmogorov_smirnov(values, values) == (0.0, 1.0)


def test_a_changed_latency_is_told_of_once_until_it_is_back() -> None:
    """One change for three slow windows, and its end with the first that is as before."""
    windows, [changed] = watch(seconds(1100) + seconds(600, 3.0, seed=2))
    assert changed.what is What.CHANGED
    assert changed.before == pytest.approx(2.4, abs=0.2)
    assert changed.after > 2.8
    _, [back] = watch(seconds(400, seed=3), windows)
    assert back.what is What.RECOVERED


def test_what_stays_changed_becomes_what_is_usual() -> None:
    """After five windows it has settled, and a window as before is the change."""
    _, changes = watch(seconds(1100) + seconds(3000, 3.0, seed=2) + seconds(400, seed=3))
    assert [change.what for change in changes] == [What.CHANGED, What.SETTLED, What.CHANGED]


def test_the_same_distribution_is_no_change() -> None:
    _, changes = watch(seconds(5000, seed=4))
    assert changes == []
