"""The house's rules for metrics, read off the catalogue and the source."""

import ast
import re
from collections.abc import Iterator

import pytest

from configs.observability.panels import DASHBOARDS
from services.telemetry import metrics
from services.telemetry.metrics import METRICS, Metric
from tests.configs.observability.test_rules import rules
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


RAYS = frozenset({"ray_serve_replica_processing_queries"})
"""What rules and dashboards use of Ray's own metrics."""

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count"), "gauge": ("",)}
"""Under which names Ray exports a metric. A histogram's `_sum` is made of the middles of its buckets, so nothing may use it."""


def queries() -> Iterator[tuple[str, str]]:
    """Yield every expression of rules and dashboards, and where it stands."""
    for kind in ("record", "alert"):
        yield from ((rule[kind], rule["expr"]) for rule in rules(kind))
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            yield from ((panel.title, query) for query in panel.queries.values())


@pytest.mark.parametrize(("place", "query"), [*queries()])
def test_rules_and_dashboards_use_what_there_is(place: str, query: str) -> None:
    """Names that Ray exports, labels that the metric has, and recording rules that are there."""
    exported = {f"ray_{name}{suffix}": metric for name, metric in METRICS.items() for suffix in SUFFIXES[metric.kind]}
    recorded = {rule["record"] for rule in rules("record")}
    assert set(re.findall(r"mainstay:[a-z0-9_:]+", query)) <= recorded
    used = re.findall(r"\b(ray_\w+)(?:{([^}]*)})?", query)
    for name, selector in used:
        assert name in exported or name in RAYS, name
        for label in re.findall(r"(\w+)[=!]", selector) if name in exported else ():
            assert label in (*exported[name].labels, "le"), f"{name}: {label}"
    known = {label for name, _ in used if name in exported for label in (*exported[name].labels, "le")}
    if used and not RAYS.intersection(name for name, _ in used):
        assert set(re.split(r",\s*", ", ".join(re.findall(r"by \(([^)]*)\)", query)))) <= known | {""}


def test_every_metric_can_be_seen() -> None:
    """A metric that no panel shows is recorded for nobody."""
    shown = " ".join(
        query for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries.values()
    )
    shown += " ".join(rule["expr"] for rule in rules("record") if rule["record"] in shown)
    used = set(re.findall(r"\bray_\w+", shown))
    exported = {name: {f"ray_{name}{suffix}" for suffix in SUFFIXES[metric.kind]} for name, metric in METRICS.items()}
    assert not [name for name, seen in exported.items() if not seen & used]
