"""What a judge has said so far: kept line by line, so that a measurement that was stopped goes on where it was."""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from evaluation.criteria.types import Reading

Key = tuple[str, ...]
"""What was asked: the set, the item, the criterion, its rubric's version and the judge."""


class Journal:
    """Readings by what was asked. Without a `path` they are kept in memory only."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[Key, Reading] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                said = json.loads(line)
                self._known[tuple(said["key"])] = Reading(value=said["value"], reason=said["reason"])

    def has(self, key: Sequence[str]) -> bool:
        return tuple(key) in self._known

    async def read(self, key: Sequence[str], ask: Callable[[], Awaitable[Reading]]) -> Reading:
        """Return what was said, or ask and keep it. Raises what `ask` does, and then keeps nothing."""
        key = tuple(key)
        if key not in self._known:
            self._known[key] = reading = await ask()
            if self._path is not None:
                line = json.dumps({"key": key, "value": reading.value, "reason": reading.reason}, ensure_ascii=False)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
        return self._known[key]
