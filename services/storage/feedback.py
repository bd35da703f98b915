"""Feedback in Postgres, and the disliked runs that nobody has looked at yet."""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from services.feedback import Feedback, Rating
from services.runs.event_codec import items
from services.samples import JUDGED, Disliked, Sample, Stratum, ToolUse, last_words, tool_results
from services.storage.database import Database
from services.storage.encoding import message_from, plain, refuse_unstorable
from services.storage.tenancy import missing
from services.types import Message, Principal, RunStatus

logger = logging.getLogger(__name__)

# The lock makes the erasure of the run, or of its thread, come before or after: never between.
_PUT = """
INSERT INTO feedback (run_id, user_id, tenant_id, rating, comment)
SELECT id, user_id, tenant_id, $4, $5 FROM runs WHERE id = $1 AND tenant_id = $2 AND user_id = $3 FOR KEY SHARE
ON CONFLICT (run_id) DO UPDATE
SET rating = excluded.rating, comment = excluded.comment, updated_at = clock_timestamp()
RETURNING run_id, rating, comment, created_at, updated_at
"""
_OF_RUN = """
SELECT runs.id, feedback.* FROM runs LEFT JOIN feedback ON feedback.run_id = runs.id
WHERE runs.id = $1 AND runs.tenant_id = $2 AND runs.user_id = $3
"""
_DUE = """
SELECT run_id, feedback.tenant_id, graph FROM feedback JOIN runs ON runs.id = run_id
WHERE rating = 'down' AND rate IS NULL AND finished_at IS NOT NULL
ORDER BY feedback.updated_at LIMIT $1 FOR UPDATE OF feedback SKIP LOCKED
"""
_LOOKED_AT = """
UPDATE feedback SET rate = looked.rate FROM unnest($1::uuid[], $2::float8[]) AS looked (run_id, rate)
WHERE feedback.run_id = looked.run_id
"""
# What was judged before as one of many was, as it turns out, likelier to be taken: it weighs less.
_REWEIGH = """
UPDATE scores SET stratum = 'disliked', weight = least(weight, 1 / nullif(looked.rate, 0))
FROM unnest($1::uuid[], $2::float8[]) AS looked (run_id, rate) WHERE scores.run_id = looked.run_id
"""
_UNJUDGED = """
SELECT id FROM runs WHERE id = ANY ($1) AND status = ANY ($2) AND NOT EXISTS (SELECT FROM scores WHERE run_id = runs.id)
"""
_ENDED = """
SELECT runs.id, runs.tenant_id, graph, status, prompt_version, provider, model, coalesce(output_tokens, 0) AS output_tokens,
       coalesce(extract(epoch FROM finished_at - coalesce(started_at, runs.created_at))::float8, 0) AS duration_s, (
    SELECT json_agg(json_build_object('role', role, 'content', content, 'tool_calls', tool_calls, 'input', input,
                                      'tool_call_id', tool_call_id, 'name', name) ORDER BY position)
    FROM messages WHERE run_id = runs.id
) AS messages
FROM runs LEFT JOIN usage ON usage.run_id = runs.id WHERE runs.id = ANY ($1)
"""
_LOGGED = "SELECT run_id, body FROM run_events WHERE run_id = ANY ($1) ORDER BY run_id, attempt, seq"


class FeedbackRepository:
    """`services.feedback.FeedbackStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, principal: Principal, run_id: UUID, rating: Rating, comment: str | None) -> Feedback:
        refuse_unstorable([comment], param="comment")
        async with self._database.raw() as connection:
            row = await connection.fetchrow(_PUT, run_id, principal.tenant_id, principal.user_id, rating.value, comment)
        if row is None:
            raise missing("run", run_id)
        return _feedback(row)

    async def of_run(self, principal: Principal, run_id: UUID) -> Feedback | None:
        async with self._database.raw() as connection:
            row = await connection.fetchrow(_OF_RUN, run_id, principal.tenant_id, principal.user_id)
        if row is None:
            raise missing("run", run_id)
        return None if row["rating"] is None else _feedback(row)


class DislikeTurn:
    """A look at disliked runs, in one transaction: unless it ends without an error they are looked at anew."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection

    async def due(self, limit: int) -> Sequence[Disliked]:
        """Return runs that have ended and that nobody else has looked at or does, those that wait longest first."""
        return [
            Disliked(run_id=plain(row["run_id"]), tenant_id=row["tenant_id"], graph=row["graph"])
            for row in await self._connection.fetch(_DUE, limit)
        ]

    async def look_at(self, rates: Mapping[UUID, float]) -> Sequence[UUID]:
        """Note for each run the rate at which runs of its kind are taken now; the scores that it has weigh accordingly.

        Returns those that have none and could be judged, in the order of `rates`.
        """
        values = list(rates), list(rates.values())
        await self._connection.execute(_LOOKED_AT, *values)
        await self._connection.execute(_REWEIGH, *values)
        found = await self._connection.fetch(_UNJUDGED, list(rates), list(JUDGED))
        unjudged = {plain(row["id"]) for row in found}
        return [run_id for run_id in rates if run_id in unjudged]

    async def samples(self, run_ids: Sequence[UUID]) -> Sequence[Sample]:
        """Return runs that have ended as a judge is to see them, as far as they are on record.

        They are not of the fair share: whichever of it was judged at all was judged at its end. The caller weighs them. One
        whose record cannot be read is left out, and said to be: the others would wait behind it for good.
        """
        rows = await self._connection.fetch(_ENDED, run_ids)
        logs, samples = defaultdict[UUID, list[bytes]](list), []
        for part in await self._connection.fetch(_LOGGED, run_ids):
            logs[plain(part["run_id"])].append(part["body"])
        for row in rows:
            run_id = plain(row["id"])
            try:
                samples.append(_sample(row, logs[run_id]))
            except (KeyError, TypeError, ValueError):
                logger.warning("the disliked run %s cannot be read, and is not judged", run_id, exc_info=True)
        return samples


class DislikeRepository:
    """`evaluation.dislikes.DislikedRuns` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[DislikeTurn]:
        """Begin a look. Raises StoreUnavailable, as does everything in it."""
        async with self._database.raw() as connection, connection.transaction():
            yield DislikeTurn(connection)


def _feedback(row: Mapping[str, Any]) -> Feedback:
    return Feedback(
        run_id=plain(row["run_id"]),
        rating=Rating(row["rating"]),
        comment=row["comment"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _sample(row: Mapping[str, Any], log: Sequence[bytes]) -> Sample:
    # A log goes before its run does. A call that it does not tell of has come to nobody knows what.
    finished: dict[str | None, bool] = {
        values["call_id"]: values["ok"] for body in log for name, values in items(body) if name == "tool_finished"
    }
    asked, said = list[Message](), list[Message]()
    for message in row["messages"] or ():
        (asked if message["input"] else said).append(message_from(message))
    return Sample(
        run_id=plain(row["id"]),
        tenant_id=row["tenant_id"],
        graph=row["graph"],
        question=last_words(asked, "user"),
        answer=last_words(said, "assistant"),
        tool_results=tool_results(said),
        tool_uses=tuple(
            ToolUse(name=message.name or "", succeeded=finished.get(message.tool_call_id))
            for message in said
            if message.role == "tool"
        ),
        status=RunStatus(row["status"]),
        provider=row["provider"],
        model=row["model"],
        prompt_version=row["prompt_version"],
        duration_s=row["duration_s"],
        output_tokens=row["output_tokens"],
        stratum=Stratum.DISLIKED,
        base=False,
    )
