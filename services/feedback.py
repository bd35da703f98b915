"""What users make of the runs that they had."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from services.types import Principal

MAX_COMMENT_CHARS = 4_000


class Rating(StrEnum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What the user of a run made of it: the last that they said. `updated_at` is when they said it."""

    run_id: UUID
    rating: Rating
    comment: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedScore:
    """What a judge made of a run by one criterion (None: unscored), and whether the run's user liked it."""

    criterion: str
    judge_model: str
    rubric_version: str
    value: float | None
    liked: bool


class FeedbackStore(Protocol):
    """Feedback by run. Every method raises StoreUnavailable, and NotFound for a run that is not the principal's."""

    async def put(self, principal: Principal, run_id: UUID, rating: Rating, comment: str | None) -> Feedback:
        """Keep feedback in the place of the user's earlier one. Raises InvalidRequest for text that cannot be stored."""
        ...

    async def of_run(self, principal: Principal, run_id: UUID) -> Feedback | None:
        """Return the feedback on a run, None where its user has given none."""
        ...
