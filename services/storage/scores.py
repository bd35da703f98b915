"""Scores in Postgres."""

from collections.abc import Sequence
from dataclasses import fields
from uuid import UUID

from sqlalchemy import select

from services.samples import Score
from services.storage.database import Database
from services.storage.encoding import plain, storable
from services.storage.tables import runs, scores
from services.storage.tenancy import missing, owned
from services.types import Principal

_ADD = """
INSERT INTO scores (run_id, tenant_id, criterion, value, reason, judge_model, rubric_version, weight)
SELECT r.id, r.tenant_id, s.criterion, s.value, s.reason, s.judge_model, s.rubric_version, s.weight
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::float8[], $5::text[], $6::text[], $7::text[], $8::float8[])
    AS s (run_id, tenant_id, criterion, value, reason, judge_model, rubric_version, weight)
JOIN runs r ON r.id = s.run_id AND r.tenant_id = s.tenant_id
ON CONFLICT (run_id, criterion, judge_model, rubric_version) DO UPDATE
SET value = excluded.value, reason = excluded.reason, weight = excluded.weight, created_at = now()
"""
_FIELDS = [field.name for field in fields(Score)]


class ScoreRepository:
    """`evaluation.evaluator.ScoreStore` in Postgres. Every method raises StoreUnavailable when it cannot be reached."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, added: Sequence[Score]) -> None:
        """Store scores, in the place of earlier ones by the same judge and rubric.

        Scores of a run that was erased meanwhile are dropped. A judge's words must not fail the record: what Postgres
        cannot hold becomes U+FFFD.
        """
        async with self._database.raw() as connection:
            await connection.execute(
                _ADD,
                [score.run_id for score in added],
                [score.tenant_id for score in added],
                [score.criterion for score in added],
                [score.value for score in added],
                [storable(score.reason) for score in added],
                [score.judge_model for score in added],
                [score.rubric_version for score in added],
                [score.weight for score in added],
            )

    async def of_run(self, principal: Principal, run_id: UUID) -> Sequence[Score]:
        """Return the scores of a run of the principal's, by criterion. Raises NotFound."""
        run = select(runs.c.id).where(runs.c.id == run_id, owned(runs, principal))
        found = select(*(scores.c[name] for name in _FIELDS)).where(scores.c.run_id == run_id)
        async with self._database.transaction() as connection:
            if (await connection.execute(run)).one_or_none() is None:
                raise missing("run", run_id)
            rows = await connection.execute(found.order_by(scores.c.criterion, scores.c.created_at))
            return [Score(**{**row, "run_id": plain(row["run_id"])}) for row in rows.mappings()]
