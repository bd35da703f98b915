"""Intervals and tests, against worked values: Darwin's maize, and figures checked once with SciPy 1.17."""

import tracemalloc

import pytest

from evaluation.offline.statistics import holm, mcnemar, mean_of, paired, signs

MAIZE = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]
"""Darwin's 15 pairs of plants (1876), on which Fisher showed the test (The Design of Experiments, 1935)."""


def test_mcnemar_is_the_binomial_test_of_those_that_changed() -> None:
    assert mcnemar(2, 11) == pytest.approx(0.0224609375)
    assert mcnemar(11, 2) == mcnemar(2, 11)
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 0) == 1.0


def test_the_signs_of_darwins_maize() -> None:
    """1,726 of the 32,768 patterns have a sum as large: p is 0.0527. Twelve pairs are tried wholly, fifteen are drawn."""
    assert signs(MAIZE) == pytest.approx(1726 / 32768, abs=0.005)
    assert signs(MAIZE[:12]) == pytest.approx(0.02587890625)
    assert signs([0.0] * 30) == 1.0
    assert signs([1.0] * 40) > 0


def test_the_interval_of_a_share_is_wilsons_and_no_point_where_all_agree() -> None:
    found = mean_of([1.0] * 17 + [0.0] * 3, yes_no=True)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((0.85, 0.63958, 0.94763), abs=1e-5)
    every = mean_of([1.0] * 20, yes_no=True)
    assert every is not None
    assert (every.low, every.high) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert mean_of([], yes_no=True) is None


def test_the_interval_of_a_mean_is_the_same_every_time() -> None:
    """And about that of the normal distribution, for values that are nearly so."""
    values = [float(7 + at % 5) for at in range(100)]
    found = mean_of(values, yes_no=False)
    assert found == mean_of(values, yes_no=False)
    assert found is not None
    half = 1.96 * 2**0.5 / 10
    assert (found.low, found.high) == pytest.approx((9 - half, 9 + half), abs=0.02)


def test_shares_are_compared_case_by_case() -> None:
    """Of 40 cases 3 were won and 5 lost: by hand, Agresti and Min's interval of the difference."""
    first = [1.0] * 30 + [0.0] * 10
    second = [1.0] * 25 + [0.0] * 5 + [0.0] * 7 + [1.0] * 3
    found = paired(first, second, yes_no=True)
    assert found is not None
    assert (found.n, found.up, found.same, found.down) == (40, 3, 32, 5)
    assert (found.difference, found.low, found.high) == pytest.approx((-0.05, -0.18687, 0.09164), abs=1e-5)
    assert found.p == pytest.approx(0.7265625)
    same = paired(first, first, yes_no=True)
    assert same is not None
    assert same.low < 0 < same.high


def test_pairs_show_what_two_means_do_not() -> None:
    """Grades that differ by 8 between cases and by 0.5 between configurations: only case by case is that certain."""
    first = [float(2 + at % 9) for at in range(60)]
    second = [value + (0.5 if at % 3 else 0.25) for at, value in enumerate(first)]
    found = paired(first, second, yes_no=False)
    before, after = mean_of(first, yes_no=False), mean_of(second, yes_no=False)
    assert found is not None
    assert before is not None
    assert after is not None
    assert found.low > 0.3
    assert found.p < 0.001
    assert before.high > after.low


def test_many_cases_need_no_more_memory_than_few() -> None:
    """10,000 draws of 3,000 cases are 240 MB at once, and are never there at once."""
    first, second = [float(at % 11) for at in range(3_000)], [float(at % 7) for at in range(3_000)]
    tracemalloc.start()
    try:
        mean_of(first, yes_no=False)
        paired(first, second, yes_no=False)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 64 * 2**20


def test_many_tests_are_worth_less_each() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
