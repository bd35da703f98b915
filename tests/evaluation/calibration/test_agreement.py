"""The statistics, against values from the literature and worked out by hand."""

import tracemalloc

import numpy as np
import pytest

from evaluation.calibration.agreement import confusion, interval, kappa, ranking


def test_kappa_is_that_of_the_literature() -> None:
    """Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 3rd edition, table 18.1: 0.68."""
    counts = np.array([[75, 1, 4], [5, 4, 1], [0, 0, 10]])
    assert kappa(counts) == pytest.approx(0.68, abs=0.005)


def test_weighted_kappa_is_that_worked_out_by_hand() -> None:
    """Ten items, of which one is a step off and one is two: they cost 1 + 4; by chance, from the margins, it would be 11.8."""
    counts = np.array([[4, 0, 1], [0, 3, 0], [0, 1, 1]])
    by_chance = (1 * 5 * 4 + 4 * 5 * 2 + 1 * 3 * 4 + 1 * 3 * 2 + 4 * 2 * 4 + 1 * 2 * 4) / 10
    assert kappa(counts, weighted=True) == pytest.approx(1 - 5 / by_chance)
    assert by_chance == 11.8


@pytest.mark.parametrize(
    ("counts", "value"),
    [([[5, 0], [0, 5]], 1.0), ([[3, 3], [2, 2]], 0.0), ([[0, 5], [5, 0]], -1.0), ([[9, 0], [0, 0]], 0.0)],
)
def test_full_agreement_chance_contradiction_and_what_is_undefined(counts: list[list[int]], value: float) -> None:
    """A judge that says the same of everything is no better than chance, were it always right."""
    for weighted in (False, True):
        assert kappa(np.array(counts), weighted=weighted) == pytest.approx(value)


def test_people_are_in_the_rows() -> None:
    assert confusion([1, 1, 0], [0, 1, 0], 2).tolist() == [[1, 1], [0, 1]]


def test_the_interval_holds_kappa_narrows_with_more_items_and_is_the_same_every_time() -> None:
    judged, labelled = [0, 0, 0, 1, 1, 1, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1, 0, 1, 0]
    few, many = interval(judged, labelled, 2), interval(judged * 20, labelled * 20, 2)
    value = kappa(confusion(judged, labelled, 2))
    assert few[0] < many[0] < value < many[1] < few[1]
    assert few == interval(judged, labelled, 2)
    assert interval(labelled, labelled, 2) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "labels", "share"),
    [
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75),  # the example of scikit-learn's roc_auc_score
        ([1, 2, 3], [1, 2, 3], 1.0),
        ([3, 2, 1], [1, 2, 3], 0.0),
        ([5, 5], [1, 2], 0.5),
        ([2, 5, 5, 1], [1, 2, 3, 3], 0.5),  # of five pairs two are in order, one is a tie and two are not
        ([1, 2], [7, 7], None),
    ],
)
def test_ranking_is_the_area_under_the_curve(values: list[float], labels: list[float], share: float | None) -> None:
    """And its like for more than two labels."""
    assert ranking(values, labels) == share


def test_many_items_are_ranked_in_the_memory_of_few() -> None:
    """20,000 have 400 million pairs, which are counted and never laid out."""
    values, labels = [at % 101 for at in range(20_000)], [at % 2 for at in range(20_000)]
    tracemalloc.start()
    try:
        assert ranking(values, labels) == pytest.approx(0.5, abs=0.01)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16 * 2**20
