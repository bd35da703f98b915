"""docs/resilience.md says of faults what the end-to-end tests prove, all of it and nothing else."""

from pathlib import Path

from tests.e2e.faults.table import rows, table

DOCUMENT = Path(__file__).parents[2] / "docs" / "resilience.md"

MATRIX = {1, 2, 3, 4, 5, 14, 15, 20, 22, 23, 24, 25, 26, 27, 28, 35, 37}
"""The rows of the fault matrix that a test has to prove."""


def test_the_document_holds_the_table() -> None:
    """What stands between its marks is what `python -m tests.e2e.faults.table` prints."""
    _, _, rest = DOCUMENT.read_text().partition("<!-- faults -->\n")
    stated, mark, _ = rest.partition("\n<!-- /faults -->")
    assert mark
    assert stated.strip() == table(rows())


def test_every_row_of_the_matrix_is_proven() -> None:
    """No fault of the matrix is without a test, and no test is for a fault that it does not have."""
    assert {int(number) for row in rows() for number in row.rows.split(", ")} == MATRIX
