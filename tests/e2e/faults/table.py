"""The tables of docs/resilience.md, from the tests that prove them: `python -m tests.e2e.faults.table` prints them."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from tests.e2e.faults.cases import CASES, Case
from tests.e2e.faults.rows import PROVEN, Part, Row

COLUMNS = ("fault", "what the client sees", "on record", "the provider's breaker", "calls of the provider")

REPLACED = "a whole answer, of the next provider"
BROKEN = "the text so far, then `run_failed` with `{code}`, `next: continue`"
KEPT = "failed, with that code; the text so far, marked incomplete"


def rows() -> list[Row]:
    """Every row: of the cases, then of the scenarios, which are known once their modules are imported."""
    for module in sorted(Path(__file__).parent.glob("test_*.py")):
        import_module(f"{__package__}.{module.stem}")
    return [*map(row_of, CASES), *PROVEN]


def row_of(case: Case) -> Row:
    """What `test_cases` proves of a case."""
    first, second = case.attempts
    return Row(
        part=Part.BEFORE if case.code is None else Part.AFTER,
        rows=case.rows,
        fault=case.says,
        client=REPLACED if case.code is None else BROKEN.format(code=case.code),
        record="completed" if case.code is None else KEPT,
        breaker=case.breaker,
        attempts=f"{first}, then {second} of the next" if second else f"{first}, and none of the next",
    )


def table(proven: Iterable[Row]) -> str:
    """The rows as Markdown, one table for each part."""
    proven = list(proven)
    return "\n\n".join(f"### {part}\n\n{_lines(row for row in proven if row.part is part)}" for part in Part)


def _lines(proven: Iterable[Row]) -> str:
    cells = [COLUMNS, ("---",) * len(COLUMNS)]
    cells += [(row.fault, row.client or "—", row.record, row.breaker, row.attempts) for row in proven]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


if __name__ == "__main__":
    print(table(rows()))
