"""Making, rotating and revoking a tenant's keys, on behalf of somebody who holds one that permits it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from services.errors import InvalidRequest, NotFound, PermissionDenied
from services.security.audit import OPERATIONS, AuditAction, AuditEvent
from services.security.keys import ApiKey, ApiKeyStore, NewKey, new_key
from services.security.permissions import Role, permissions_of, scopes_of
from services.security.refusals import Reason, Watch, over, refusal
from services.types import Principal

MIN_EXPIRY_S = 60.0
MAX_EXPIRY_S = 3_660 * 86_400.0
MAX_GRACE_S = 7 * 86_400.0
MAX_NAME_CHARS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """What a new key is to be: whose, for what, and for how long; without `expires_in_s` until it is revoked."""

    user_id: str
    role: Role = Role.USER
    scopes: Collection[str] = ()
    expires_in_s: float | None = None


class KeyKeeping:
    """The keys of tenants. Everything is scoped to the tenant of whoever asks, and recorded with the change itself.

    Nobody can make a key that may do more than their own, and nobody can change anything with a key that is over, whatever a
    replica remembers of it. Every method raises StoreUnavailable, and those that change something Unauthenticated.
    """

    def __init__(
        self,
        store: ApiKeyStore,
        pepper: str,
        watch: Watch,
        *,
        new_id: Callable[[], UUID],
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._watch = watch
        self._new_id = new_id
        self._now = now

    async def create(self, principal: Principal, request: KeyRequest) -> NewKey:
        """Make a key. Raises InvalidRequest, and PermissionDenied for more than the principal may."""
        check_name(principal.tenant_id, "tenant_id")
        check_name(request.user_id, "user_id")
        if request.user_id == OPERATIONS:
            raise InvalidRequest("That name stands for the operators' commands. Choose another one.", param="user_id")
        if request.expires_in_s is not None and not MIN_EXPIRY_S <= request.expires_in_s <= MAX_EXPIRY_S:
            least, most = MIN_EXPIRY_S, MAX_EXPIRY_S
            raise InvalidRequest(
                f"A key lasts from {least:.0f} to {most:.0f} seconds, or for good.", param="expires_in_s"
            )
        now, scopes = self._now(), scopes_of(request.role, request.scopes)
        self._refuse_more(principal, request.role, scopes)
        await self._refuse_over(principal)
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

        Raises NotFound, also for a key that is not accepted any more, PermissionDenied for one that may do more than the
        principal, and InvalidRequest for one that was replaced before. The new one lasts as long from now as the old one did
        when it was made.
        """
        if not 0 <= grace_s <= MAX_GRACE_S:
            raise InvalidRequest(f"A grace lasts from 0 to {MAX_GRACE_S:.0f} seconds.", param="grace_s")
        now, old = self._now(), await self._store.get(principal.tenant_id, key_id)
        if not old.usable(now):
            raise NotFound(f"The key {key_id} has expired or was revoked. Make a new one.")
        if old.replaced_by is not None:
            raise InvalidRequest(f"The key was replaced by {old.replaced_by}. Rotate that one, or revoke this one.")
        self._refuse_more(principal, old.role, old.scopes)
        await self._refuse_over(principal)
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
        ends = ends if old.expires_at is None else min(ends, old.expires_at)
        retired = replace(old, expires_at=ends, replaced_by=made.record.id)
        event = self._event(principal, AuditAction.KEY_ROTATED, old, replaced_by=str(made.record.id))
        await self._store.replace(retired, made.record, event)
        return made

    async def revoke(self, principal: Principal, key_id: UUID) -> None:
        """Have a key accepted no more. Raises NotFound; one that was revoked before stays as it is."""
        key = await self._store.get(principal.tenant_id, key_id)
        await self._refuse_over(principal)
        event = self._event(principal, AuditAction.KEY_REVOKED, key)
        await self._store.revoke(principal.tenant_id, key_id, at=self._now(), event=event)

    async def _refuse_over(self, principal: Principal) -> None:
        """Raise Unauthenticated where the principal's key is over, which a replica learns of with a delay.

        Whoever came with a token has none: their token's own end was looked at when the request came.
        """
        if principal.key_id is None:
            return
        try:
            key = await self._store.get(principal.tenant_id, principal.key_id)
        except NotFound:
            key = None
        if key is None:
            self._watch.refused(Reason.KEY_UNKNOWN)
            raise refusal()
        if not key.usable(self._now()):
            self._watch.refused(over(key), key)
            raise refusal()

    def _refuse_more(self, principal: Principal, role: Role, scopes: Collection[str]) -> None:
        more = permissions_of(role, scopes) - principal.permissions
        if more:
            for permission in more:
                self._watch.denied(principal, permission)
            raise PermissionDenied(
                f"You may not do {', '.join(sorted(more))} yourself, so no key that you make can.",
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


def check_name(name: str, param: str) -> None:
    """Raise InvalidRequest for what cannot be the name of a tenant or a user: it is shown in lists, and told apart by eye."""
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise InvalidRequest(
            f"A name has 1 to {MAX_NAME_CHARS} characters, and only such as can be printed.", param=param
        )
