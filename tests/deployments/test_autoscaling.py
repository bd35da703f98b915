"""Replicas are counted by the runs they execute, also by those that nobody reads."""

from types import SimpleNamespace
from typing import Any

import pytest

from deployments.autoscaling import by_runs


@pytest.mark.parametrize(
    ("requests", "detached", "replicas"), [(0.0, {}, 0), (100.0, {}, 1), (100.0, {"a": 30.0, "b": 71.0}, 3)]
)
def test_detached_runs_count_like_requests(requests: float, detached: dict[str, float], replicas: int) -> None:
    """(ongoing requests + detached runs) / target, rounded up."""
    ctx: Any = SimpleNamespace(
        total_num_requests=requests,
        aggregated_metrics={"detached_runs": detached} if detached else None,
        config=SimpleNamespace(target_ongoing_requests=100.0),
    )
    assert by_runs(ctx) == (replicas, {})
