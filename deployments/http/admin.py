"""What the holders of a tenant's administration do: its keys, and the record of what was done to them."""

from datetime import datetime
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from deployments.http.asking import Auditor, KeyKeeper
from deployments.http.json_body import described, reader
from deployments.http.pages import Limit, next_page
from deployments.protocols.validation import Body
from services.security.audit import AuditTrail
from services.security.key_keeping import (
    MAX_EXPIRY_S,
    MAX_GRACE_S,
    MAX_NAME_CHARS,
    MIN_EXPIRY_S,
    KeyKeeping,
    KeyRequest,
)
from services.security.keys import ApiKey, NewKey
from services.security.permissions import Role, role_of

KeyId = Annotated[UUID, Path()]


class KeyBody(Body):
    user_id: str = Field(
        min_length=1, max_length=MAX_NAME_CHARS, description="whose threads, runs and memories it opens"
    )
    role: str = Field(default=Role.USER, json_schema_extra={"enum": list(Role)})
    scopes: list[Annotated[str, Field(max_length=64)]] | None = Field(
        default=None, min_length=1, max_length=32, description="which of its role's permissions it has; all if absent"
    )
    expires_in_s: float | None = Field(
        default=None, ge=MIN_EXPIRY_S, le=MAX_EXPIRY_S, description="seconds; for good if absent"
    )


class RotationBody(Body):
    grace_s: float = Field(
        default=3_600.0, ge=0, le=MAX_GRACE_S, description="how long the old key goes on, in seconds"
    )


class KeyJson(BaseModel):
    """`prefix` is how the key begins: enough to know it again, and not enough to use it."""

    id: UUID
    user_id: str
    role: str
    scopes: list[str]
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: UUID | None


class NewKeyJson(KeyJson):
    """`key` is the key itself, which is shown this once."""

    key: str


class KeysJson(BaseModel):
    """`next_before` continues the list when given as `before`; it is null on the last page."""

    keys: list[KeyJson]
    next_before: UUID | None


class AuditEventJson(BaseModel, from_attributes=True):
    """`user_id` did it, or tried, with the key `key_id`; where that is null with a token, or by a command."""

    id: UUID
    at: datetime | None
    action: str
    user_id: str
    key_id: UUID | None
    target: str
    target_user_id: str | None
    details: dict[str, str]


class AuditJson(BaseModel):
    """`next_before` continues the list when given as `before`; it is null on the last page."""

    events: list[AuditEventJson]
    next_before: UUID | None


def admin_router(keys: KeyKeeping, trail: AuditTrail, *, max_body_bytes: int) -> APIRouter:
    """Routes of `/admin`. All of them end at the tenant of whoever asks."""
    read = partial(reader, max_body_bytes)
    router = APIRouter(prefix="/admin", tags=["admin"])

    @router.post("/keys", status_code=201, openapi_extra=described(KeyBody))
    async def create_key(asking: KeyKeeper, body: Annotated[KeyBody, Depends(read(KeyBody))]) -> NewKeyJson:
        request = KeyRequest(
            user_id=body.user_id,
            role=role_of(body.role),
            scopes=tuple(body.scopes or ()),
            expires_in_s=body.expires_in_s,
        )
        return _new_key_json(await keys.create(asking, request))

    @router.get("/keys")
    async def list_keys(asking: KeyKeeper, limit: Limit = 20, before: UUID | None = None) -> KeysJson:
        found = await keys.list(asking, limit=limit, before=before)
        return KeysJson(keys=[_key_json(key) for key in found], next_before=next_page(found, limit))

    @router.post("/keys/{key_id}/rotate", status_code=201, openapi_extra=described(RotationBody))
    async def rotate_key(
        asking: KeyKeeper, key_id: KeyId, body: Annotated[RotationBody, Depends(read(RotationBody))]
    ) -> NewKeyJson:
        return _new_key_json(await keys.rotate(asking, key_id, grace_s=body.grace_s))

    @router.delete("/keys/{key_id}", status_code=204)
    async def revoke_key(asking: KeyKeeper, key_id: KeyId) -> Response:
        await keys.revoke(asking, key_id)
        return Response(status_code=204)

    @router.get("/audit")
    async def list_audit_events(asking: Auditor, limit: Limit = 20, before: UUID | None = None) -> AuditJson:
        found = await trail.list(asking, limit=limit, before=before)
        return AuditJson(
            events=[AuditEventJson.model_validate(event) for event in found], next_before=next_page(found, limit)
        )

    return router


def _key_json(key: ApiKey) -> KeyJson:
    return KeyJson(
        id=key.id,
        user_id=key.user_id,
        role=key.role,
        scopes=sorted(key.scopes),
        prefix=key.prefix,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        replaced_by=key.replaced_by,
    )


def _new_key_json(made: NewKey) -> NewKeyJson:
    return NewKeyJson(**_key_json(made.record).model_dump(), key=made.plaintext)
