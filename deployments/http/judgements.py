"""What was made of a run: by the user who had it, and by judges. Every route is scoped to the key's principal."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Literal, Protocol
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from deployments.http.asking import Reader, Runner
from deployments.http.json_body import described, reader
from deployments.http.score_means import CalibrationOf
from deployments.protocols.validation import Body
from services.feedback import MAX_COMMENT_CHARS, Feedback, FeedbackStore, Rating
from services.samples import Score
from services.types import JsonObject, Principal

RunId = Annotated[UUID, Path()]


class ScoresOfRuns(Protocol):
    async def of_run(self, principal: Principal, run_id: UUID) -> Sequence[Score]:
        """Return the scores of a run of the principal's. Raises NotFound and StoreUnavailable."""
        ...


class FeedbackBody(Body):
    rating: Literal["up", "down"]
    comment: str | None = Field(default=None, max_length=MAX_COMMENT_CHARS)


class FeedbackJson(BaseModel):
    """The last that a user said of a run; `updated_at` is when."""

    run_id: UUID
    rating: Rating
    comment: str | None
    created_at: datetime
    updated_at: datetime


class FeedbackListJson(BaseModel):
    """One, or none while its user has said nothing."""

    feedback: list[FeedbackJson]


class ScoreJson(BaseModel):
    """`value` null is unscored, for the `reason`, and not 0. What a judge says that is not `calibrated`, which is compared with
    people, is a guess; what one that is says is as good as its `calibration`: a `kappa` near 0 is chance.

    `flagged`: a text of the run spoke to the judge, so its word is not to be relied on; the reason begins with what was found.
    """

    criterion: str
    value: float | None
    reason: str
    judge_model: str
    rubric_version: str
    prompt_version: str
    flagged: bool
    calibrated: bool
    calibration: JsonObject | None


class ScoresJson(BaseModel):
    run_id: UUID
    scores: list[ScoreJson]


def judgements_router(
    feedback: FeedbackStore, scores: ScoresOfRuns, calibration: CalibrationOf, *, max_body_bytes: int
) -> APIRouter:
    """Routes of `/runs/{run_id}/feedback` and `/runs/{run_id}/scores`."""
    read = partial(reader, max_body_bytes)
    router = APIRouter(prefix="/runs/{run_id}", tags=["judgements"])

    @router.post("/feedback", openapi_extra=described(FeedbackBody))
    async def give_feedback(
        asking: Runner, run_id: RunId, body: Annotated[FeedbackBody, Depends(read(FeedbackBody))]
    ) -> FeedbackJson:
        return _feedback_json(await feedback.put(asking, run_id, Rating(body.rating), body.comment))

    @router.get("/feedback")
    async def list_feedback(asking: Reader, run_id: RunId) -> FeedbackListJson:
        found = await feedback.of_run(asking, run_id)
        return FeedbackListJson(feedback=[] if found is None else [_feedback_json(found)])

    @router.get("/scores")
    async def list_scores(asking: Reader, run_id: RunId) -> ScoresJson:
        found = await scores.of_run(asking, run_id)
        return ScoresJson(run_id=run_id, scores=[_score_json(score, calibration(score)) for score in found])

    return router


def _feedback_json(feedback: Feedback) -> FeedbackJson:
    return FeedbackJson(
        run_id=feedback.run_id,
        rating=feedback.rating,
        comment=feedback.comment,
        created_at=feedback.created_at,
        updated_at=feedback.updated_at,
    )


def _score_json(score: Score, calibration: JsonObject | None) -> ScoreJson:
    return ScoreJson(
        criterion=score.criterion,
        value=score.value,
        reason=score.reason,
        judge_model=score.judge_model,
        rubric_version=score.rubric_version,
        prompt_version=score.prompt_version,
        flagged=score.flagged,
        calibrated=calibration is not None,
        calibration=calibration,
    )
