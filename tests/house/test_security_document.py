"""docs/security.md says of each threat which test holds it: those tests are there, under those names."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def named() -> list[tuple[str, str | None]]:
    """Every test module or folder in the document, with the test in it; a bare `::name` is of the module before it."""
    found: list[tuple[str, str | None]] = []
    for path, name in re.findall(r"`(tests/[\w/.]+)?(?:::(\w+))?`", DOCUMENT):
        if path or name:
            found.append((path or found[-1][0], name or None))
    return found


@pytest.mark.parametrize(("path", "name"), named())
def test_a_test_that_is_named_is_there(path: str, name: str | None) -> None:
    where = ROOT / path
    assert where.exists()
    if name is not None:
        tree = ast.parse(where.read_text(encoding="utf-8"))
        assert name in {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }


def test_every_risk_has_a_row() -> None:
    """The three lists of ten, each risk once or with a neighbour."""
    for risks in ("LLM{:02}", "ASI{:02}", "API{}"):
        for number in range(1, 11):
            assert re.search(rf"\b{risks.format(number)}\b", DOCUMENT), risks.format(number)
    assert len(named()) > 30
