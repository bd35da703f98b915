"""The audit trail in Postgres."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Insert, insert, select

from services.security.audit import AuditAction, AuditEvent
from services.storage.database import Database
from services.storage.encoding import plain
from services.storage.tables import audit_events
from services.types import Principal


class AuditRepository:
    """`services.security.audit.AuditTrail` in Postgres. Every method raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, events: Sequence[AuditEvent]) -> None:
        """Store events of what changed nothing, all or none."""
        async with self._database.transaction() as connection:
            for event in events:
                await connection.execute(recorded(event))

    async def list(self, principal: Principal, *, limit: int, before: UUID | None = None) -> Sequence[AuditEvent]:
        """Return events of the principal's tenant, newest first; `before` continues behind that one."""
        found = select(audit_events).where(audit_events.c.tenant_id == principal.tenant_id)
        if before is not None:
            found = found.where(audit_events.c.id < before)
        async with self._database.transaction() as connection:
            rows = await connection.execute(found.order_by(audit_events.c.id.desc()).limit(limit))
            return [_event(row) for row in rows.mappings()]


def recorded(event: AuditEvent) -> Insert:
    """Return the statement that stores an event, for the transaction of what it tells of."""
    return insert(audit_events).values(
        id=event.id,
        tenant_id=event.tenant_id,
        action=event.action,
        user_id=event.user_id,
        key_id=event.key_id,
        target=event.target,
        target_user_id=event.target_user_id,
        details=dict(event.details),
    )


def _event(row: Mapping[Any, Any]) -> AuditEvent:
    return AuditEvent(
        id=plain(row["id"]),
        tenant_id=row["tenant_id"],
        action=AuditAction(row["action"]),
        user_id=row["user_id"],
        key_id=None if row["key_id"] is None else plain(row["key_id"]),
        target=row["target"],
        target_user_id=row["target_user_id"],
        details=row["details"],
        at=row["at"],
    )
