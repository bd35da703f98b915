"""How far an evaluation is: a line that rewrites itself on a terminal, else a line for every tenth part."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

BAR = 30


@dataclass(slots=True, kw_only=True)
class ProgressBar:
    """Implements `evaluation.offline.runner.Progress`. The time left is from what this process has done itself."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    _started_at: float = field(default=0.0, init=False)
    _first: int | None = field(default=None, init=False)
    _told: int = field(default=-1, init=False)
    _open_line: bool = field(default=False, init=False)

    def __call__(self, done: int, total: int, failed: int) -> None:
        if self._first is None:
            self._first, self._started_at = done, self.clock()
        text = f"{done}/{total}" + (f", {failed} failed" if failed else "") + self._left(done, total)
        if self.stream.isatty():
            filled = BAR * done // total
            self.stream.write(f"\r[{'#' * filled}{'.' * (BAR - filled)}] {text}\x1b[K")
            self.stream.flush()
            self._open_line = True
        elif (tenth := 10 * done // total) != self._told:
            self._told = tenth
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """End the line."""
        if self._open_line:
            self._open_line = False
            print(file=self.stream, flush=True)

    def _left(self, done: int, total: int) -> str:
        own = done - (self._first or 0)
        if own <= 0 or done == total:
            return ""
        left_s = (self.clock() - self._started_at) / own * (total - done)
        return f", about {left_s:.0f} s left" if left_s < 120 else f", about {left_s / 60:.0f} min left"
