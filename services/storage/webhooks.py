"""The outbox of webhooks in Postgres. Each method is one statement; the clock is Postgres'."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from services.runs.webhooks import DueWebhook
from services.storage.database import Database
from services.storage.rows import run_from, usage_from
from services.types import Usage

# The claim is `next_at` itself: pushed forward as the attempt begins, it lets the row become due again by itself when
# whoever took it is lost.
_TAKE = f"""
WITH due AS (
    SELECT run_id FROM webhooks WHERE next_at <= now() AND tenant_id <> ALL ($3)
    ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE webhooks SET attempts = attempts + 1, next_at = now() + make_interval(secs => $2)
    FROM due WHERE webhooks.run_id = due.run_id RETURNING webhooks.run_id, url, attempts
)
SELECT url, attempts, runs.*, {", ".join(f"usage.{name}" for name in Usage.__slots__)}
FROM taken JOIN runs ON runs.id = taken.run_id LEFT JOIN usage ON usage.run_id = taken.run_id
"""  # noqa: S608  the names are our own
_DELIVERED = """
UPDATE webhooks SET next_at = NULL, delivered_at = coalesce(delivered_at, now()), problem = NULL WHERE run_id = $1
"""
_FAILED = """
UPDATE webhooks SET problem = $3, next_at = now() + make_interval(secs => $4)
WHERE run_id = $1 AND attempts = $2 AND delivered_at IS NULL
"""


class WebhookRepository:
    """`services.runs.webhooks.WebhookOutbox` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, *, limit: int, claim_s: float, without: Collection[str] = ()) -> Sequence[DueWebhook]:
        async with self._database.raw() as connection:
            rows = await connection.fetch(_TAKE, limit, claim_s, list(without))
        return [
            DueWebhook(run=replace(run_from(row, ()), usage=usage_from(row)), url=row["url"], attempt=row["attempts"])
            for row in rows
        ]

    async def delivered(self, due: DueWebhook) -> None:
        """Record it even when another attempt has begun since: the receiver does have it."""
        async with self._database.raw() as connection:
            await connection.execute(_DELIVERED, due.run.id)

    async def failed(self, due: DueWebhook, problem: str, *, retry_in_s: float | None) -> None:
        async with self._database.raw() as connection:
            await connection.execute(_FAILED, due.run.id, due.attempt, problem, retry_in_s)
