"""Scores in Postgres."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from typing import Any
from uuid import UUID

from sqlalchemy import select

from services.samples import MeansWanted, Score, ScoreMean, Stratum
from services.storage.database import Database
from services.storage.encoding import plain, refuse_unstorable, storable
from services.storage.tables import runs, scores
from services.storage.tenancy import missing, owned
from services.types import Principal

# A run that was disliked was taken with the probability that its feedback names, unless it had been more likely before: the
# weight follows, in whichever order the two come. Once of the fair share is always of it.
_ADD = """
INSERT INTO scores (run_id, tenant_id, criterion, value, reason, judge_model, rubric_version, weight, graph, provider, model,
                    prompt_version, stratum, base, flagged, ended_at)
SELECT r.id, r.tenant_id, s.criterion, s.value, s.reason, s.judge_model, s.rubric_version,
       least(s.weight, 1 / nullif(disliked.rate, 0)), s.graph, s.provider, s.model, s.prompt_version,
       CASE WHEN disliked.rate IS NULL THEN s.stratum ELSE 'disliked' END, s.base, s.flagged,
       coalesce(r.finished_at, now())
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::float8[], $5::text[], $6::text[], $7::text[], $8::float8[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bool[], $15::bool[])
    AS s (run_id, tenant_id, criterion, value, reason, judge_model, rubric_version, weight, graph, provider, model,
          prompt_version, stratum, base, flagged)
JOIN runs r ON r.id = s.run_id AND r.tenant_id = s.tenant_id
LEFT JOIN feedback AS disliked ON disliked.run_id = r.id
ON CONFLICT (run_id, criterion, judge_model, rubric_version) DO UPDATE
SET value = excluded.value, reason = excluded.reason, flagged = excluded.flagged, created_at = now(),
    stratum = excluded.stratum, weight = least(scores.weight, excluded.weight), base = scores.base OR excluded.base
"""
# Hájek's estimator. Its error is that of a ratio of sums, by Taylor's expansion, for independent
# runs (Särndal, Swensson, Wretman, Model Assisted Survey Sampling). With equal weights it is the usual one.
_MEANS = """
WITH scored AS (
    SELECT graph, criterion, judge_model, rubric_version, weight, flagged AND value IS NOT NULL AS flagged,
           CASE WHEN NOT flagged THEN value END AS value,
           CASE WHEN $6 THEN (ended_at AT TIME ZONE 'UTC')::date END AS day
    FROM scores
    WHERE tenant_id = $1 AND ended_at >= $2::date::timestamp AT TIME ZONE 'UTC'
      AND ended_at < ($3::date + 1)::timestamp AT TIME ZONE 'UTC'
      AND ($4::text IS NULL OR graph = $4) AND ($5::text IS NULL OR criterion = $5)
), centred AS (
    SELECT *, sum(weight * value) OVER these / sum(weight) FILTER (WHERE value IS NOT NULL) OVER these AS mean
    FROM scored WINDOW these AS (PARTITION BY graph, criterion, judge_model, rubric_version, day)
)
SELECT graph, criterion, judge_model, rubric_version, day, count(value) AS n, count(*) FILTER (WHERE flagged) AS flagged,
       count(*) FILTER (WHERE value IS NULL AND NOT flagged) AS unscored, mean,
       sum(weight) FILTER (WHERE value IS NOT NULL) AS runs,
       sqrt(sum((weight * (value - mean)) ^ 2) * count(value) / nullif(count(value) - 1, 0))
           / sum(weight) FILTER (WHERE value IS NOT NULL) AS standard_error
FROM centred GROUP BY graph, criterion, judge_model, rubric_version, day, mean
ORDER BY day, graph, criterion, judge_model, rubric_version
"""
_FIELDS = [field.name for field in fields(Score) if field.name in scores.c]
"""Of a score, what is kept."""


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
            await connection.execute(_ADD, *_columns(added))

    async def of_run(self, principal: Principal, run_id: UUID) -> Sequence[Score]:
        """Return the scores of a run of the principal's, by criterion. Raises NotFound."""
        run = select(runs.c.id).where(runs.c.id == run_id, owned(runs, principal))
        found = select(*(scores.c[name] for name in _FIELDS)).where(scores.c.run_id == run_id)
        async with self._database.transaction() as connection:
            if (await connection.execute(run)).one_or_none() is None:
                raise missing("run", run_id)
            rows = await connection.execute(found.order_by(scores.c.criterion, scores.c.created_at))
            return [_score(row) for row in rows.mappings()]

    async def means(self, tenant_id: str, wanted: MeansWanted) -> Sequence[ScoreMean]:
        """Return the means of a tenant's runs, sampled or not, that ended on the days that are wanted.

        Scores of two judges, or by two rubrics, are not mixed. Raises InvalidRequest for names that no row can have.
        """
        refuse_unstorable([wanted.graph], param="graph")
        refuse_unstorable([wanted.criterion], param="criterion")
        async with self._database.raw() as connection:
            rows = await connection.fetch(_MEANS, tenant_id, *astuple(wanted))
        return [ScoreMean(**row) for row in rows]


def _columns(added: Sequence[Score]) -> Iterator[list[object]]:
    """Yield the scores as one list per column of _ADD."""
    for name in _FIELDS:
        values = [getattr(score, name) for score in added]
        yield [storable(value) for value in values] if name == "reason" else values


def _score(row: Mapping[Any, Any]) -> Score:
    return Score(**{**row, "run_id": plain(row["run_id"]), "stratum": Stratum(row["stratum"])})
