"""The house's import rules, read off the source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("benchmarks", "configs", "deployments", "evaluation", "graphs", "services")

MAY_IMPORT = {
    "configs": set(),
    "services": set(),
    "graphs": {"services"},
    "evaluation": {"services"},
    "deployments": {"configs", "services", "graphs", "evaluation"},
    "benchmarks": {"services", "evaluation"},
}
"""Which of our packages each package may import, besides itself."""

BROAD = re.compile(r"except (Base)?Exception\b|except:")

CONFINED = {
    "ray": ("deployments",),
    "fastapi": ("deployments", "benchmarks/baselines"),
    "opentelemetry": ("services/telemetry/otlp",),
    "langgraph": ("graphs", "services/storage/checkpointer", "services/storage/memories", "benchmarks/baselines"),
}
"""Foreign packages that may be imported below these paths only."""


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def modules() -> list[Path]:
    return sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_package_may(path: Path) -> None:
    """Every import obeys the house: layers point one way, and ray, fastapi and langgraph stay where they belong."""
    place = path.relative_to(ROOT).as_posix()
    package = place.split("/")[0]
    for name in imports(path):
        top = name.split(".")[0]
        if top in OURS:
            assert top == package or top in MAY_IMPORT[package], f"{place} imports {name}"
        if top in CONFINED:
            assert place.startswith(CONFINED[top]), f"{place} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_edges_read_the_environment(path: Path) -> None:
    """os.environ is read in deployments and benchmarks only: everything else is handed its values."""
    place = path.relative_to(ROOT).as_posix()
    if place.startswith(("deployments/", "benchmarks/")):
        return
    source = path.read_text(encoding="utf-8")
    assert "os.environ" not in source
    assert "getenv" not in source


def test_broad_excepts_stay_within_their_budget() -> None:
    """At most three `except Exception` in the product, each with its reason on the line."""
    product = [path for path in modules() if not path.relative_to(ROOT).as_posix().startswith("benchmarks/")]
    lines = [line for path in product for line in path.read_text().splitlines() if BROAD.search(line)]
    assert len(lines) <= 3
    assert all("#" in line for line in lines), lines
