"""What was judged, in the order in which it is watched: one value of one series after another."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Measure(StrEnum):
    """What of an answer is watched: a judge's score, its length in output tokens, the seconds that its run took."""

    SCORE = "score"
    LENGTH = "length"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Which values may be compared with one another: those that the same thing made, and the same judge measured.

    What does not apply is empty: the judge of a length or a latency, the model where none answered.
    """

    measure: Measure
    criterion: str
    graph: str
    model: str
    prompt_version: str
    judge_model: str
    rubric_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One value of a series, from the run `run_id`, which was judged at `at`."""

    series: Series
    run_id: UUID
    value: float
    at: datetime
