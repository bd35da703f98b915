"""What is watched, in Postgres: one replica at a time takes in what was judged, and stores what it knows then.

A turn is one transaction, and locks the leader's row. What it takes in, the state of the series after it, and the alerts that
came of it are stored together or not at all: so every score is taken in exactly once and every change told of once, however
many replicas think that they lead, and wherever one of them dies. There is no position to lose: a score that is to be taken in
says so itself, in whatever order scores become visible.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple
from typing import Any
from uuid import UUID

import asyncpg

from services.alerts.types import Alert, AlertKind
from services.judged import REBASELINED, Ended, Judged, Series, StoredSeries, Watching
from services.storage.alerts import RAISE, RESOLVE, raised_values
from services.storage.database import Database
from services.storage.encoding import plain

# A leader that stops answering in the middle of its turn has its connection closed by the server, and its turn undone.
_BOUNDED = "SET LOCAL idle_in_transaction_session_timeout = '10s'"
_LEAD = """
WITH free AS (
    SELECT id FROM drift_leader WHERE holder = $1 OR holder IS NULL OR expires_at < now() FOR UPDATE SKIP LOCKED
)
UPDATE drift_leader SET holder = $1, expires_at = now() + make_interval(secs => $2) FROM free
WHERE drift_leader.id = free.id RETURNING true
"""
_RESIGN = "UPDATE drift_leader SET holder = NULL, expires_at = now() WHERE holder = $1"
_TAKE = """
WITH due AS (
    SELECT run_id, criterion, judge_model, rubric_version FROM scores
    WHERE watched_at IS NULL AND base AND value IS NOT NULL AND NOT flagged ORDER BY created_at, run_id, criterion LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE scores AS s SET watched_at = now() FROM due
    WHERE (s.run_id, s.criterion, s.judge_model, s.rubric_version)
        = (due.run_id, due.criterion, due.judge_model, due.rubric_version)
    RETURNING s.*
)
SELECT * FROM taken ORDER BY created_at, run_id, criterion
"""
_KEY = "criterion, graph, model, prompt_version, judge_model, rubric_version"
_FIND = f"SELECT id, state::text FROM drift_series WHERE ({_KEY}) = ($1, $2, $3, $4, $5, $6) FOR NO KEY UPDATE"  # noqa: S608
# The version that answered last may have too few answers to be compared with: then the one before it.
_EARLIER = """
SELECT model, prompt_version, state::text FROM drift_series
WHERE (criterion, graph, judge_model, rubric_version) = ($1, $2, $5, $6)
  AND (model, prompt_version) <> ($3, $4) AND state IS NOT NULL
ORDER BY observed_at DESC LIMIT 10
"""
_STORE = f"""
INSERT INTO drift_series (id, {_KEY}, state, answers) VALUES ($7, $1, $2, $3, $4, $5, $6, $8, $9)
ON CONFLICT ({_KEY}) DO UPDATE
SET state = excluded.state, answers = drift_series.answers + excluded.answers, observed_at = now()
RETURNING id
"""  # noqa: S608  the names are our own
_RELEASE = "UPDATE drift_series SET state = $2 WHERE id = $1"
_QUIET = f"""
SELECT id, {_KEY}, state::text FROM drift_series
WHERE observed_at < now() - make_interval(secs => $1)
  AND EXISTS (SELECT FROM alerts WHERE series_id = drift_series.id AND resolved_at IS NULL)
ORDER BY id LIMIT 20
"""  # noqa: S608
_PRESSURES = """
SELECT criterion, graph, max((state ->> 'pressure')::float8) AS pressure FROM drift_series
WHERE observed_at > now() - make_interval(secs => $1) AND state ? 'pressure' GROUP BY criterion, graph
"""
_BEGIN_ANEW = """
UPDATE drift_series SET state = NULL FROM alerts WHERE alerts.id = $1 AND drift_series.id = series_id
RETURNING drift_series.id
"""


class DriftTurn:
    """A turn of the replica that leads. Nothing that it does is there before the turn has ended without an error."""

    def __init__(
        self, connection: "asyncpg.Connection[Any]", channels: Sequence[str], new_id: Callable[[], UUID]
    ) -> None:
        self._connection = connection
        self._channels = list(channels)
        self._new_id = new_id

    async def take(self, limit: int) -> Sequence[Judged]:
        """Take in scores, at most so many, that no turn has, in the order in which they were judged."""
        rows = await self._connection.fetch(_TAKE, limit)
        return [
            Judged(series=_series(row), run_id=plain(row["run_id"]), value=row["value"], at=row["created_at"])
            for row in rows
        ]

    async def find(self, series: Series) -> StoredSeries | None:
        row = await self._connection.fetchrow(_FIND, *astuple(series))
        return None if row is None else StoredSeries(id=plain(row["id"]), series=series, state=row["state"])

    async def earlier(self, series: Series) -> Sequence[tuple[str, str, str]]:
        """Return model, prompt version and state of the series that this one may follow, the last that answered first.

        They are of the same graph, and measured by the same judge.
        """
        rows = await self._connection.fetch(_EARLIER, *astuple(series))
        return [(row["model"], row["prompt_version"], row["state"]) for row in rows]

    async def store(self, watching: Watching) -> Sequence[Alert]:
        """Store a series; return those of its alerts that are new. One of a kind that fires already is not raised again."""
        key = astuple(watching.series)
        series_id = await self._connection.fetchval(_STORE, *key, self._new_id(), watching.state, watching.answers)
        raised = []
        for news in watching.news:
            if isinstance(news, Ended):
                await self._end(series_id, news)
            elif await self._connection.fetchval(RAISE, *raised_values(news, self._channels, series_id=series_id)):
                raised.append(news)
        return raised

    async def quiet(self, quiet_s: float) -> Sequence[StoredSeries]:
        """Return series of which something fires, and that have had no answer for so long."""
        rows = await self._connection.fetch(_QUIET, quiet_s)
        return [StoredSeries(id=plain(row["id"]), series=_series(row), state=row["state"]) for row in rows]

    async def release(self, stored: StoredSeries, state: str, resolution: str) -> None:
        """End all that fires of a series, and store what is known of it without that."""
        await self._connection.execute(_RELEASE, stored.id, state)
        await self._end(stored.id, Ended(kinds=tuple(AlertKind), resolution=resolution))

    async def pressures(self, within_s: float) -> Mapping[tuple[str, str], float]:
        """Return by criterion and graph the highest `pressure` in the states of series that have had an answer so lately."""
        rows = await self._connection.fetch(_PRESSURES, within_s)
        return {(row["criterion"], row["graph"]): row["pressure"] for row in rows}

    async def _end(self, series_id: UUID, ended: Ended) -> None:
        kinds = [str(kind) for kind in ended.kinds]
        await self._connection.fetchval(RESOLVE, series_id, kinds, ended.resolution, self._channels)


class DriftRepository:
    """`evaluation.drift.watcher.DriftStore` in Postgres. Every method raises StoreUnavailable."""

    def __init__(self, database: Database, channels: Sequence[str], *, new_id: Callable[[], UUID]) -> None:
        self._database = database
        self._channels = channels
        self._new_id = new_id

    @asynccontextmanager
    async def turn(self, holder: UUID, lease_s: float) -> AsyncIterator[DriftTurn | None]:
        """Begin a turn; None while another replica leads. Who has had a turn leads for another `lease_s`."""
        async with self._database.raw() as connection, connection.transaction():
            await connection.execute(_BOUNDED)
            leads = await connection.fetchval(_LEAD, holder, lease_s)
            yield DriftTurn(connection, self._channels, self._new_id) if leads else None

    async def resign(self, holder: UUID) -> None:
        """Let another replica lead at once."""
        async with self._database.raw() as connection:
            await connection.execute(_RESIGN, holder)

    async def rebaseline(self, alert_id: UUID) -> bool:
        """Accept what an alert tells of: it ends, and its series learns anew what is usual. False: there is no such alert."""
        async with self._database.raw() as connection, connection.transaction():
            series_id = await connection.fetchval(_BEGIN_ANEW, alert_id)
            if series_id is None:
                return False
            await connection.fetchval(RESOLVE, series_id, list(AlertKind), REBASELINED, list(self._channels))
            return True


def _series(row: Mapping[str, Any]) -> Series:
    return Series(
        criterion=row["criterion"],
        graph=row["graph"],
        model=row["model"] or "",
        prompt_version=row["prompt_version"],
        judge_model=row["judge_model"],
        rubric_version=row["rubric_version"],
    )
