"""The house's rules for metrics, read off the catalogue and the source."""

import ast
from collections.abc import Iterator

import pytest

from services.telemetry import metrics
from services.telemetry.metrics import METRICS, Metric
from tests.house.test_imports import ROOT, modules

CATALOGUE = ROOT / "services" / "telemetry" / "metrics"

UNITS = frozenset({"seconds", "tokens", "chars", "calls", "points", "rows", "units", "rate", "ratio", "state"})
"""`rate` is a share from 0 to 1, `ratio` of a statistic to its limit, `state` a number that the description explains."""

UNBOUNDED = frozenset({"user", "tenant", "thread", "run", "request", "key", "id", "session", "message", "url", "ip"})
"""What may have as many values as there are people or requests, as a label or a part of its name."""


def declared() -> dict[str, str]:
    """Return the names of the metrics by the constants that hold them."""
    constants = vars(metrics).items()
    return {value.name: constant for constant, value in constants if isinstance(value, Metric)}


def recording() -> Iterator[str]:
    """Yield every name that is read in the product outside the catalogue."""
    for path in modules():
        if CATALOGUE in path.parents or path.relative_to(ROOT).parts[0] == "benchmarks":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                yield node.id


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_is_declared_by_the_rules(metric: Metric) -> None:
    """A unit in its name unless it counts, a description, and no label that grows with the number of users."""
    words = metric.name.split("_")
    assert words[0] == "mainstay"
    assert metric.description.endswith(".")
    if metric.kind == "counter":
        assert words[-1] != "total", "the exporters add it"
        assert any(word.endswith("s") for word in words[1:]), "a counter is named for what it counts"
    else:
        assert UNITS.intersection(words), "name the unit"
    assert (metric.buckets != ()) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    for label in metric.labels:
        assert not UNBOUNDED.intersection(label.split("_")), label


def test_the_catalogue_is_whole() -> None:
    """Every metric that a chapter of the catalogue declares is in METRICS, under a name of its own."""
    chapters = [path for path in CATALOGUE.glob("*.py") if path.stem not in {"__init__", "meter"}]
    assigned = {
        target.id
        for path in chapters
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value, ast.Call)
    }
    assert assigned == set(declared().values())
    assert set(declared()) == set(METRICS)
    assert len(METRICS) == len(assigned)


def test_every_metric_is_recorded_somewhere() -> None:
    """A metric that nobody records would be a panel without data."""
    unrecorded = set(declared().values()) - set(recording())
    assert not unrecorded
