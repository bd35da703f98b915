"""What a change of a key is recorded as, where a test does not look at that."""

from uuid_utils.compat import uuid7

from services.security.audit import AuditAction, AuditEvent
from services.security.keys import ApiKey


def an_event(key: ApiKey) -> AuditEvent:
    return AuditEvent(
        id=uuid7(), tenant_id=key.tenant_id, action=AuditAction.KEY_CREATED, user_id="ada", target=str(key.id)
    )
