"""The simulated day: the weighted mean of what is judged is that of all runs, and the plain one is far from it."""

from benchmarks.sampling import estimates


def test_the_weighted_mean_is_that_of_all_runs() -> None:
    """With strata that differ, caps that bite and dislikes that come late; over all graphs, and for each."""
    for estimate in estimates(6_000, seed=3).values():
        assert abs(estimate.plain - estimate.true) > 0.1
        assert estimate.off < 0.05
        assert estimate.off < 3 * estimate.standard_error
