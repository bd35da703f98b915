"""Making, rotating and revoking a tenant's keys, on behalf of somebody who holds one that permits it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from services.errors import NotFound, PermissionDenied
from services.security.audit import AuditAction, AuditEvent
from services.security.keys import ApiKey, ApiKeyStore, NewKey, new_key
from services.security.permissions import Role, known_scopes, permissions_of
from services.types import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """What a new key is to be: whose, for what, and for how long; without `expires_in_s` until it is revoked."""

    user_id: str
    role: Role = Role.USER
    scopes: Collection[str] = ()
    expires_in_s: float | None = None


class KeyKeeping:
    """The keys of tenants. Everything is scoped to the tenant of whoever asks, and recorded with the change itself.

    Nobody can make a key that may do more than their own. Every method raises StoreUnavailable.
    """

    def __init__(
        self, store: ApiKeyStore, pepper: str, *, new_id: Callable[[], UUID], now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._new_id = new_id
        self._now = now

    async def create(self, principal: Principal, request: KeyRequest) -> NewKey:
        """Make a key. Raises InvalidRequest for an unknown scope, and PermissionDenied for more than the principal may."""
        now, scopes = self._now(), known_scopes(request.scopes)
        self._refuse_more(principal, request.role, scopes)
        made = new_key(
            self._pepper,
            key_id=self._new_id(),
            tenant_id=principal.tenant_id,
            user_id=request.user_id,
            role=request.role,
            scopes=scopes,
            created_at=now,
            expires_at=None if request.expires_in_s is None else now + timedelta(seconds=request.expires_in_s),
        )
        await self._store.add(made.record, self._event(principal, AuditAction.KEY_CREATED, made.record))
        return made

    async def list(self, principal: Principal, *, limit: int, before: UUID | None = None) -> Sequence[ApiKey]:
        """Return keys of the tenant, newest first; `before` continues behind that one."""
        return await self._store.list(principal.tenant_id, limit=limit, before=before)

    async def rotate(self, principal: Principal, key_id: UUID, *, grace_s: float) -> NewKey:
        """Make a key that may do what this one may, which goes on being accepted for `grace_s` more.

        Raises NotFound, also for a key that is not accepted any more, and PermissionDenied for one that may do more than the
        principal. The new one lasts as long from now as the old one did when it was made.
        """
        now, old = self._now(), await self._store.get(principal.tenant_id, key_id)
        if not old.usable(now):
            raise NotFound(f"The key {key_id} has expired or was revoked. Make a new one.")
        self._refuse_more(principal, old.role, old.scopes)
        lasting = None if old.expires_at is None else old.expires_at - old.created_at
        made = new_key(
            self._pepper,
            key_id=self._new_id(),
            tenant_id=old.tenant_id,
            user_id=old.user_id,
            role=old.role,
            scopes=old.scopes,
            created_at=now,
            expires_at=None if lasting is None else now + lasting,
        )
        ends = now + timedelta(seconds=grace_s)
        retired = replace(old, expires_at=ends if old.expires_at is None else min(ends, old.expires_at))
        event = self._event(principal, AuditAction.KEY_ROTATED, old, replaced_by=str(made.record.id))
        await self._store.replace(retired, made.record, event)
        return made

    async def revoke(self, principal: Principal, key_id: UUID) -> None:
        """Have a key accepted no more. Raises NotFound; one that was revoked before stays as it is."""
        key = await self._store.get(principal.tenant_id, key_id)
        event = self._event(principal, AuditAction.KEY_REVOKED, key)
        await self._store.revoke(principal.tenant_id, key_id, at=self._now(), event=event)

    def _refuse_more(self, principal: Principal, role: Role, scopes: Collection[str]) -> None:
        more = permissions_of(role, scopes) - principal.permissions
        if more:
            raise PermissionDenied(
                f"Your key does not permit {', '.join(sorted(more))} itself, so it can give that to no other.",
                param="role",
            )

    def _event(self, principal: Principal, action: AuditAction, key: ApiKey, **details: str) -> AuditEvent:
        return AuditEvent(
            id=self._new_id(),
            tenant_id=principal.tenant_id,
            action=action,
            user_id=principal.user_id,
            key_id=principal.key_id,
            target=str(key.id),
            target_user_id=key.user_id,
            details={"role": key.role, "scopes": " ".join(sorted(key.scopes)), **details},
        )
