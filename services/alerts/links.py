"""Links to runs, as alerts show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """`base_url` is where this installation is reached from outside; without one a link is a path."""

    base_url: str = ""

    def run(self, run_id: UUID) -> str:
        return f"{self.base_url.rstrip('/')}/v1/runs/{run_id}"

    def runs(self, run_ids: Sequence[UUID]) -> list[str]:
        return [self.run(run_id) for run_id in run_ids]
