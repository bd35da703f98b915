"""What a judge is given, and what it says."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One finished run as a judge sees it. `weight` is 1 / the probability with which it was taken."""

    run_id: UUID
    tenant_id: str
    graph: str
    question: str
    answer: str
    tool_results: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A criterion's value for one run. `value` None is *unscored*, for the reason given: never to be read as 0."""

    run_id: UUID
    tenant_id: str
    criterion: str
    value: float | None
    reason: str
    judge_model: str
    rubric_version: str
    weight: float = 1.0


class SampleSink(Protocol):
    """Where finished runs are offered for judging. Never waits and never raises: a full sink drops and counts."""

    def offer(self, sample: Sample) -> None: ...
