"""Alerts and their outbox in Postgres. The clock is Postgres'."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from services.alerts.types import Alert, AlertKind, DueAlert, News, Severity
from services.storage.database import Database
from services.storage.encoding import plain, storable, to_json

RAISE = """
WITH raised AS (
    INSERT INTO alerts (id, series_id, run_id, kind, severity, summary, labels, facts, run_ids, since, ends_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11))
    ON CONFLICT DO NOTHING RETURNING id
), told AS (
    INSERT INTO alert_deliveries (alert_id, channel, news, next_at)
    SELECT id, channel, 'firing', now() FROM raised, unnest($12::text[]) AS channel
)
SELECT count(*) FROM raised
"""
"""Raise an alert, for `raised_values`, and have every channel told; returns 0 for one that was there already."""
RESOLVE = """
WITH ended AS (
    UPDATE alerts SET resolved_at = now(), resolution = $3
    WHERE series_id = $1 AND kind = ANY ($2) AND resolved_at IS NULL RETURNING id
), silenced AS (
    UPDATE alert_deliveries SET next_at = NULL FROM ended WHERE alert_id = ended.id AND news = 'firing'
), told AS (
    INSERT INTO alert_deliveries (alert_id, channel, news, next_at)
    SELECT id, channel, 'resolved', now() FROM ended, unnest($4::text[]) AS channel
)
SELECT count(*) FROM ended
"""
"""End what fires of a series, of these kinds, for this reason, and have every channel told; returns how many that were."""
# As in the outbox of webhooks: the claim is `next_at` itself.
_TAKE = """
WITH due AS (
    SELECT alert_id, channel, news FROM alert_deliveries WHERE next_at <= now() AND channel = ANY ($3)
    ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE alert_deliveries AS d SET attempts = attempts + 1, next_at = now() + make_interval(secs => $2)
    FROM due WHERE (d.alert_id, d.channel, d.news) = (due.alert_id, due.channel, due.news)
    RETURNING d.alert_id, d.channel, d.news, d.attempts
)
SELECT taken.channel, taken.news, taken.attempts, alerts.* FROM taken JOIN alerts ON alerts.id = taken.alert_id
"""
# What has been resolved meanwhile fires no more, whatever this attempt was about.
_DELIVERED = """
UPDATE alert_deliveries SET delivered_at = coalesce(delivered_at, now()), problem = NULL, attempts = 0,
    next_at = CASE WHEN resolved_at IS NULL THEN now() + make_interval(secs => $4) END
FROM alerts WHERE id = alert_id AND alert_id = $1 AND channel = $2 AND news = $3
"""
_FAILED = """
UPDATE alert_deliveries SET problem = $5,
    next_at = CASE WHEN resolved_at IS NULL OR news = 'resolved' THEN now() + make_interval(secs => $6) END
FROM alerts WHERE id = alert_id AND alert_id = $1 AND channel = $2 AND news = $3 AND attempts = $4
"""


class AlertRepository:
    """`services.alerts.delivery.AlertOutbox` in Postgres, with a way in for alerts of one answer.

    Every method raises StoreUnavailable. `channels` are who is told of what is raised from now on.
    """

    def __init__(self, database: Database, channels: Sequence[str]) -> None:
        self._database = database
        self._channels = list(channels)

    async def raise_for_run(self, alert: Alert) -> bool:
        """Raise an alert of its first run's answer; return whether it is new: each kind is raised once for a run."""
        async with self._database.raw() as connection:
            values = raised_values(alert, self._channels, run_id=alert.run_ids[0])
            return bool(await connection.fetchval(RAISE, *values))

    async def take(self, *, channels: Sequence[str], limit: int, claim_s: float) -> Sequence[DueAlert]:
        async with self._database.raw() as connection:
            rows = await connection.fetch(_TAKE, limit, claim_s, list(channels))
        return [_due(row) for row in rows]

    async def delivered(self, due: DueAlert, *, repeat_s: float | None) -> None:
        async with self._database.raw() as connection:
            await connection.execute(_DELIVERED, due.alert.id, due.channel, due.news, repeat_s)

    async def failed(self, due: DueAlert, problem: str, *, retry_in_s: float | None) -> None:
        """Nothing is recorded once another attempt has begun."""
        place = (due.alert.id, due.channel, due.news)
        async with self._database.raw() as connection:
            await connection.execute(_FAILED, *place, due.attempt, problem, retry_in_s)


def raised_values(
    alert: Alert, channels: Sequence[str], *, series_id: UUID | None = None, run_id: UUID | None = None
) -> Sequence[object]:
    """Return the values of RAISE."""
    return (
        alert.id,
        series_id,
        run_id,
        alert.kind,
        alert.severity,
        storable(alert.summary),
        to_json({name: storable(value) for name, value in alert.labels.items()}),
        to_json(dict(alert.facts)),
        list(alert.run_ids),
        alert.since,
        alert.lasts_s,
        list(channels),
    )


def _due(row: Mapping[str, Any]) -> DueAlert:
    ends_at: datetime | None = row["ends_at"]
    return DueAlert(
        alert=Alert(
            id=plain(row["id"]),
            kind=AlertKind(row["kind"]),
            severity=Severity(row["severity"]),
            summary=row["summary"],
            labels=row["labels"],
            facts=row["facts"],
            since=row["since"],
            run_ids=tuple(map(plain, row["run_ids"])),
            lasts_s=None if ends_at is None else (ends_at - row["raised_at"]).total_seconds(),
        ),
        channel=row["channel"],
        news=News(row["news"]),
        attempt=row["attempts"],
        raised_at=row["raised_at"],
        ends_at=ends_at,
        resolution=row["resolution"],
    )
