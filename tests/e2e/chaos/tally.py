"""What was hurt, how often, and how long it took to go on: counted by every test, told in a table at the end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.e2e.chaos.resuming import Reading

COLUMNS = (
    "what", "times", "streams", "restarted", "reconnected", "asked a person", "failed", "p50 s", "p99 s", "longest s"
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """One row. `gaps_s` are the silences that readers heard round a break or a restart, of any of the `runs`."""

    times: int = 0
    runs: int = 0
    restarted: int = 0
    reconnected: int = 0
    interrupted: int = 0
    failed: int = 0
    gaps_s: list[float] = field(default_factory=list)

    def add(self, reading: Reading) -> None:
        story = reading.story
        self.runs += 1
        self.restarted += story.restarts > 0
        self.reconnected += bool(reading.breaks)
        self.interrupted += story.end.name == "run_interrupted"
        self.failed += story.end.name in {"run_failed", "run_cancelled"}
        self.gaps_s += reading.gaps_s

    def cells(self) -> list[str]:
        counts = (self.times, self.runs, self.restarted, self.reconnected, self.interrupted, self.failed)
        shown = [f"{percentile(self.gaps_s, part):.2f}" if self.gaps_s else "-" for part in (0.5, 0.99, 1.0)]
        return [*map(str, counts), *shown]


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that so much of all are not above."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def table(tallies: Mapping[str, Tally]) -> str:
    """The rows as Markdown."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *((name, *tally.cells()) for name, tally in tallies.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
