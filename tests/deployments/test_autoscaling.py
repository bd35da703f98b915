"""Replicas are counted by the work they have, also by that which Serve does not see."""

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from deployments import autoscaling
from deployments.autoscaling import UNSEEN_WORK, by_work


def a_context(requests: float, unseen: dict[str, float] | None, *, replicas: int = 1) -> Any:
    return SimpleNamespace(
        total_num_requests=requests,
        aggregated_metrics=None if unseen is None else {UNSEEN_WORK: unseen},
        config=SimpleNamespace(target_ongoing_requests=100.0),
        current_num_replicas=replicas,
        target_num_replicas=1,
    )


@pytest.mark.parametrize(
    ("requests", "unseen", "replicas"), [(0.0, None, 0.0), (150.0, {}, 1.5), (100.0, {"a": 30.0, "b": 70.0}, 2.0)]
)
def test_unseen_work_counts_like_requests(requests: float, unseen: dict[str, float] | None, replicas: float) -> None:
    """(ongoing requests + unseen work of all replicas) / target, for each deployment by itself."""
    decisions, state = by_work({"agent": a_context(requests, unseen), "idle": a_context(0.0, None)})
    assert decisions == {"agent": replicas, "idle": 0.0}
    assert state == {}


def test_a_deployment_that_is_starting_keeps_its_target() -> None:
    """Without a replica there is no measurement, so nothing is decided from it."""
    assert by_work({"agent": a_context(0.0, None, replicas=0)})[0] == {"agent": 1.0}


def test_the_policy_stands_alone() -> None:
    """Serve pickles the module by value and runs it in its controller, which does not have our code."""
    source = inspect.getsource(autoscaling)
    assert not any(f"from {package}" in source for package in ("configs", "deployments", "services", "graphs"))
