"""All connections that replicas may hold fit the Postgres that most people have."""

import math
from pathlib import Path

import pytest
import yaml

from configs.settings import load

ROOT = Path(__file__).parents[2]
WITH_DATABASE = {"ingress": (True, 0), "agent": (True, 1), "evaluator": (False, 0)}
"""Whether each of their replicas has a pool for limits too, and how many connections beside its pools: an agent's listens."""
POSTGRES_LEAVES = 97
"""Postgres' default max_connections of 100 without the three that it reserves for superusers."""


@pytest.mark.parametrize("overlays", [(), ("local",), ("openai",), ("production",)])
def test_every_pool_at_its_maximum_fits_postgres(overlays: tuple[str, ...]) -> None:
    """Ninety connections at full size, and what an application may have at most while a rollout adds its surge."""
    settings = load(overlays)
    [application] = yaml.safe_load((ROOT / "serve_config.yaml").read_text(encoding="utf-8"))["applications"]
    deployments = [item for item in application["deployments"] if item["name"] in WITH_DATABASE]
    assert {item["name"] for item in deployments} == set(WITH_DATABASE)
    most = [
        (
            item["autoscaling_config"]["max_replicas"],
            item["max_surge_percent"] / 100,
            settings.database.pool_size + settings.limits.pool_size * limits + beside,
        )
        for item in deployments
        for limits, beside in [WITH_DATABASE[item["name"]]]
    ]
    assert sum(replicas * each for replicas, _, each in most) <= 90
    assert sum((replicas + math.ceil(replicas * surge)) * each for replicas, surge, each in most) <= POSTGRES_LEAVES
