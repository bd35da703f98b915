"""What docs/resilience.md says of a fault, and the test that proves it: one and the same place."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])


class Part(StrEnum):
    """The tables, in their order. The values are their headings."""

    BEFORE = "One provider fails before its first text"
    AFTER = "A provider fails after text was shown"
    PROVIDERS = "Providers out of reach, and several at once"
    CLIENT = "The client leaves, or is slow"
    TOOLS = "Tools"
    OURS = "Our own parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line. `rows` are those of the fault matrix that it answers; the other fields are the columns, in words.

    `breaker` and `attempts` are of the provider that failed, or that had the answer's calls.
    """

    part: Part
    rows: str
    fault: str
    client: str
    record: str
    breaker: str
    attempts: str


PROVEN: list[Row] = []
"""Every row of the tests that have been imported."""


def proves(*rows: Row) -> Callable[[Test], Test]:
    """Mark a test as the proof of these rows, which say what it asserts."""

    def mark(test: Test) -> Test:
        PROVEN.extend(rows)
        return test

    return mark
