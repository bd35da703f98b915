"""The record of what security is about: who did what to what, with which key, and who tried. It never holds a secret."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from services.types import Principal

OPERATIONS = "operations"
"""Who did it where that was a command of an operator's, which has the database's password and no key."""


class AuditAction(StrEnum):
    KEY_CREATED = "key_created"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    ACCESS_REFUSED = "access_refused"
    """Somebody came with a key of the tenant's that is over."""
    PERMISSION_DENIED = "permission_denied"
    """Somebody of the tenant asked for what takes a permission that they lack, which is the target."""


ATTEMPTS = frozenset({AuditAction.ACCESS_REFUSED, AuditAction.PERMISSION_DENIED})
"""What changed nothing. An event of these stands for all that was alike within a minute; `details` say how many there were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """`user_id` did it: with the key `key_id`, or where that is None with a token of the identity provider, or by a command.
    `target` is the id of what it was done to, or a permission, and `target_user_id` whose that is. `at` is set by the store.
    """

    id: UUID
    tenant_id: str
    action: AuditAction
    user_id: str
    key_id: UUID | None = None
    target: str
    target_user_id: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None


class AuditTrail(Protocol):
    """Where the events are read; whatever changes something writes its event in the same transaction."""

    async def add(self, events: Sequence[AuditEvent]) -> None:
        """Store events of what changed nothing, all or none. Raises StoreUnavailable."""
        ...

    async def list(self, principal: Principal, *, limit: int, before: UUID | None = None) -> Sequence[AuditEvent]:
        """Return events of the principal's tenant, newest first; `before` continues behind that one.

        Raises StoreUnavailable.
        """
        ...
