"""What is recorded of keys and of refusals, where a test does not look at how."""

from uuid_utils.compat import uuid7

from services.security.audit import AuditAction, AuditEvent
from services.security.keys import ApiKey
from services.security.permissions import Permission
from services.security.refusals import UNWATCHED, Reason, Watch
from services.types import Principal


def an_event(key: ApiKey) -> AuditEvent:
    return AuditEvent(
        id=uuid7(), tenant_id=key.tenant_id, action=AuditAction.KEY_CREATED, user_id="ada", target=str(key.id)
    )


class Witness:
    """Implements `services.security.refusals.Watch`: remembers who was refused and denied what, and tells a listener."""

    def __init__(self) -> None:
        self.refusals: list[tuple[Reason, ApiKey | None]] = []
        self.denials: list[tuple[Principal, Permission]] = []
        self.listener: Watch = UNWATCHED

    def refused(self, reason: Reason, key: ApiKey | None = None) -> None:
        self.refusals.append((reason, key))
        self.listener.refused(reason, key)

    def denied(self, principal: Principal, permission: Permission) -> None:
        self.denials.append((principal, permission))
        self.listener.denied(principal, permission)

    @property
    def reasons(self) -> list[Reason]:
        return [reason for reason, _ in self.refusals]
