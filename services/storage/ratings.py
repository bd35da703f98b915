"""Scores of runs that their users rated, in Postgres: what users think, beside what judges do."""

from collections.abc import Sequence
from datetime import datetime

from services.feedback import RatedScore
from services.storage.database import Database

# A run may be judged because it was disliked, so the judged of all rated runs were disliked more often than the others. Whether
# a run is of the fair share was decided before anybody rated it.
_RATED = """
SELECT criterion, judge_model, rubric_version, value, rating = 'up' AS liked
FROM (
    SELECT run_id, rating FROM feedback WHERE tenant_id = $1 AND updated_at >= $2
    ORDER BY updated_at DESC, run_id LIMIT $4
) AS rated JOIN scores USING (run_id)
WHERE tenant_id = $1 AND (base OR NOT $3)
"""


class RatingRepository:
    """The ratings of one tenant's users."""

    def __init__(self, database: Database, tenant_id: str) -> None:
        self._database = database
        self._tenant_id = tenant_id

    async def scores(self, since: datetime, *, fair: bool, limit: int) -> Sequence[RatedScore]:
        """Return all scores of the newest runs, `limit` at most, that their users rated since then.

        With `fair` only of those that are judged whatever they are like, so that liked and disliked ones are as many among them
        as among all that were rated. Raises StoreUnavailable.
        """
        async with self._database.raw() as connection:
            rows = await connection.fetch(_RATED, self._tenant_id, since, fair, limit)
        return [RatedScore(**row) for row in rows]
