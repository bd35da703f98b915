"""API keys in memory, and the record of what was done to them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.security.audit import AuditEvent
from services.security.keys import ApiKey
from services.storage.encoding import refuse_unstorable
from services.storage.tenancy import missing
from services.types import Principal


class MemoryAuditTrail:
    """`services.security.audit.AuditTrail` in memory."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        self._events.append(replace(event, at=self._now()))

    async def add(self, events: Sequence[AuditEvent]) -> None:
        for event in events:
            self.record(event)

    async def list(self, principal: Principal, *, limit: int, before: UUID | None = None) -> Sequence[AuditEvent]:
        mine = [event for event in self._events if event.tenant_id == principal.tenant_id]
        newest = sorted(mine, key=lambda event: event.id, reverse=True)
        return [event for event in newest if before is None or event.id < before][:limit]


class MemoryApiKeys:
    """`services.security.keys.ApiKeyStore` in memory."""

    def __init__(self, trail: MemoryAuditTrail) -> None:
        self._keys: dict[UUID, ApiKey] = {}
        self._trail = trail

    async def add(self, key: ApiKey, event: AuditEvent) -> None:
        refuse_unstorable((key.tenant_id, key.user_id, key.lookup, *key.scopes))
        self._keys[key.id] = key
        self._trail.record(event)

    async def find(self, lookup: str) -> ApiKey | None:
        return next((key for key in self._keys.values() if key.lookup == lookup), None)

    async def get(self, tenant_id: str, key_id: UUID) -> ApiKey:
        key = self._keys.get(key_id)
        if key is None or key.tenant_id != tenant_id:
            raise missing("key", key_id)
        return key

    async def list(self, tenant_id: str, *, limit: int, before: UUID | None = None) -> Sequence[ApiKey]:
        mine = [key for key in self._keys.values() if key.tenant_id == tenant_id]
        newest = sorted(mine, key=lambda key: (key.created_at, key.id), reverse=True)
        if before is not None:
            ids = [key.id for key in newest]
            newest = newest[ids.index(before) + 1 :] if before in ids else []
        return newest[:limit]

    async def replace(self, retired: ApiKey, by: ApiKey, event: AuditEvent) -> None:
        old = await self.get(retired.tenant_id, retired.id)
        if old.revoked_at is not None or old.replaced_by is not None:
            raise missing("key", retired.id)
        self._keys[retired.id] = retired
        await self.add(by, event)

    async def revoke(self, tenant_id: str, key_id: UUID, *, at: datetime, event: AuditEvent) -> None:
        key = await self.get(tenant_id, key_id)
        if key.revoked_at is None:
            self._keys[key_id] = replace(key, revoked_at=at)
            self._trail.record(event)
