"""What a judge has said so far: kept line by line, so that a measurement that was stopped goes on where it was."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from evaluation.criteria.types import Reading
from evaluation.json_lines import Row, append, read_journal

Key = tuple[str, ...]
"""What was asked: the set, the item, the criterion, its rubric's version and the judge."""


class Journal:
    """Readings by what was asked. Without a `path` they are kept in memory only.

    Raises ValueError, with the line, for a file that is no journal, and OSError.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known = dict(read_journal(path, _said)) if path is not None and path.exists() else {}

    def has(self, key: Sequence[str]) -> bool:
        return tuple(key) in self._known

    async def read(self, key: Sequence[str], ask: Callable[[], Awaitable[Reading]]) -> Reading:
        """Return what was said, or ask and keep it. Raises what `ask` does, and then keeps nothing."""
        key = tuple(key)
        if key not in self._known:
            self._known[key] = reading = await ask()
            if self._path is not None:
                append(self._path, {"key": key, "value": reading.value, "reason": reading.reason})
        return self._known[key]


def _said(row: Row) -> tuple[Key, Reading]:
    return tuple(row["key"]), Reading(value=row["value"], reason=row["reason"])
