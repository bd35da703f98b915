"""What answers are worth on average, as judges see them, for whoever answers for a tenant."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Protocol

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from deployments.http.asking import Quality
from services.errors import InvalidRequest
from services.samples import MeansWanted, Score, ScoreMean
from services.types import JsonObject

DAYS = 7
MAX_DAYS = 366

CalibrationOf = Callable[[Score | ScoreMean], JsonObject | None]
"""Says how far a judge agrees with people on a criterion, None where nobody has found out."""


class Means(Protocol):
    async def means(self, tenant_id: str, wanted: MeansWanted) -> Sequence[ScoreMean]:
        """Return the means of a tenant's runs. Raises InvalidRequest and StoreUnavailable."""
        ...


def _of_this_age(day: date) -> date:
    if not 2000 <= day.year <= 2999:
        raise ValueError("The day is not within the years 2000 to 2999.")
    return day


Day = Annotated[date, AfterValidator(_of_this_age)]
Name = Annotated[str | None, Query(max_length=1_024)]


class ScoreMeanJson(BaseModel):
    """`mean` is that of all runs, judged or not, of which there were about `runs`; null where nothing was scored.

    It stands on `n` scores and is within twice its `standard_error`, nineteen times of twenty; `unscored` and `flagged` ones
    are not in it. Of `calibrated` see ScoreJson.
    """

    graph: str
    criterion: str
    judge_model: str
    rubric_version: str
    day: date | None
    mean: float | None
    standard_error: float | None
    n: int
    runs: float | None
    unscored: int
    flagged: int
    calibrated: bool
    calibration: JsonObject | None


class ScoreMeansJson(BaseModel):
    """The means of the runs that ended on the days `from` to `to` (UTC), both included."""

    from_: date = Field(serialization_alias="from")
    to: date
    means: list[ScoreMeanJson]


def score_means_router(store: Means, calibration: CalibrationOf, clock: Callable[[], float]) -> APIRouter:
    """The route `/admin/scores`, which ends at the tenant of whoever asks. `clock` is Unix time in seconds."""
    router = APIRouter(prefix="/admin", tags=["admin"])

    @router.get("/scores")
    async def list_score_means(
        asking: Quality,
        from_: Annotated[Day | None, Query(alias="from", description="six days before `to` if absent")] = None,
        to: Annotated[Day | None, Query(description="today (UTC) if absent")] = None,
        graph: Name = None,
        criterion: Name = None,
        by_day: Annotated[bool, Query(description="a mean for each day")] = False,
    ) -> ScoreMeansJson:
        last = to or datetime.fromtimestamp(clock(), UTC).date()
        first = from_ or last - timedelta(days=DAYS - 1)
        if not 0 <= (last - first).days < MAX_DAYS:
            raise InvalidRequest(f"From the first day to the last there must be 1 to {MAX_DAYS} days.", param="from")
        wanted = MeansWanted(first=first, last=last, graph=graph, criterion=criterion, by_day=by_day)
        found = await store.means(asking.tenant_id, wanted)
        return ScoreMeansJson(from_=first, to=last, means=[_mean_json(mean, calibration(mean)) for mean in found])

    return router


def _mean_json(mean: ScoreMean, calibration: JsonObject | None) -> ScoreMeanJson:
    return ScoreMeanJson(
        graph=mean.graph,
        criterion=mean.criterion,
        judge_model=mean.judge_model,
        rubric_version=mean.rubric_version,
        day=mean.day,
        mean=mean.mean,
        standard_error=mean.standard_error,
        n=mean.n,
        runs=mean.runs,
        unscored=mean.unscored,
        flagged=mean.flagged,
        calibrated=calibration is not None,
        calibration=calibration,
    )
