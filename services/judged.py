"""What was judged, in the order in which it is watched, and what came of that: one series and one value after another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.alerts.types import Alert, AlertKind

REBASELINED = "rebaselined"
"""Why an alert ends whose series learns anew what is usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Which values may be compared with one another: of answers that the same thing made, and the same judge measured.

    `model` is empty where none answered.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSeries:
    """A series that is there, with the state of its detector as JSON; None: it is to begin anew."""

    id: UUID
    series: Series
    state: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What fires of a series, of these kinds, is over, for the reason of `resolution`."""

    kinds: tuple[AlertKind, ...]
    resolution: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What is to be stored of a series after `answers` more: its detector's state, and what happened, in its order."""

    series: Series
    state: str
    answers: int
    news: Sequence[Alert | Ended] = ()
