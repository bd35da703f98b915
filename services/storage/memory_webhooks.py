"""The outbox of webhooks in memory, for unit tests and for a laptop without a database. Per process, unbounded."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.runs.webhooks import DueWebhook
from services.types import Run


@dataclass(slots=True, kw_only=True)
class Webhook:
    """A row of `webhooks`."""

    tenant_id: str
    url: str = field(repr=False)
    attempts: int = 0
    next_at: datetime | None = None
    delivered_at: datetime | None = None
    problem: str | None = None


class MemoryWebhooks:
    """`services.runs.webhooks.WebhookOutbox` over runs that `find` returns as they are stored, None for one that is not.

    `rows` are by run. Whoever stores runs adds one with its run, and calls `ended` when the run has.
    """

    def __init__(
        self, find: Callable[[UUID], Run | None], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.rows: dict[UUID, Webhook] = {}
        self._find = find
        self._now = now

    def add(self, run: Run, url: str) -> None:
        self.rows[run.id] = Webhook(tenant_id=run.tenant_id, url=url)

    def ended(self, run_id: UUID) -> None:
        """Have the run's webhook due now, if it has one."""
        if run_id in self.rows:
            self.rows[run_id].next_at = self._now()

    async def take(self, *, limit: int, claim_s: float, without: Collection[str] = ()) -> Sequence[DueWebhook]:
        now = self._now()
        waiting = [
            (row.next_at, run_id)
            for run_id, row in self.rows.items()
            if row.next_at is not None and row.next_at <= now and row.tenant_id not in without
        ]
        taken = []
        for _, run_id in sorted(waiting)[:limit]:
            row, run = self.rows[run_id], self._find(run_id)
            if run is None:  # erased, and its webhook with it
                del self.rows[run_id]
                continue
            row.attempts += 1
            row.next_at = now + timedelta(seconds=claim_s)
            taken.append(DueWebhook(run=replace(run, messages=()), url=row.url, attempt=row.attempts))
        return taken

    async def delivered(self, due: DueWebhook) -> None:
        if row := self.rows.get(due.run.id):
            row.next_at, row.problem = None, None
            row.delivered_at = row.delivered_at or self._now()

    async def failed(self, due: DueWebhook, problem: str, *, retry_in_s: float | None) -> None:
        row = self.rows.get(due.run.id)
        if row is not None and row.attempts == due.attempt and row.delivered_at is None:
            row.problem = problem
            row.next_at = None if retry_in_s is None else self._now() + timedelta(seconds=retry_in_s)
