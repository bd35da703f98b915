"""docs/metrics.md is the catalogue: `python -m tests.house.test_metrics_document` writes the table into it."""

from pathlib import Path

from services.telemetry.metrics import METRICS, Metric

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
MARKS = "<!-- catalogue -->\n", "\n<!-- /catalogue -->"


def table() -> str:
    rows = ["| metric, with Ray's prefix | kind | labels | says |", "|---|---|---|---|", *map(_row, METRICS.values())]
    return "\n".join(rows)


def _row(metric: Metric) -> str:
    name = f"ray_{metric.name}{'_total' if metric.kind == 'counter' else ''}"
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{name}` | {metric.kind} | {labels} | {metric.description.replace('|', '&#124;')} |"


def _parts() -> tuple[str, str, str]:
    before, mark, rest = DOCUMENT.read_text().partition(MARKS[0])
    stated, end, after = rest.partition(MARKS[1])
    assert mark, "the document has lost the mark before its table"
    assert end, "the document has lost the mark behind its table"
    return before, stated, after


def test_the_document_holds_the_catalogue() -> None:
    """Every metric as it is declared, and nothing else."""
    assert _parts()[1].strip() == table()


if __name__ == "__main__":
    before, _, after = _parts()
    DOCUMENT.write_text(f"{before}{MARKS[0]}{table()}{MARKS[1]}{after}")
