"""API keys in Postgres."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.security.audit import AuditEvent
from services.security.keys import ApiKey
from services.security.permissions import Role
from services.storage.audit import recorded
from services.storage.database import Database
from services.storage.encoding import plain, refuse_unstorable
from services.storage.tables import api_keys, users
from services.storage.tenancy import missing


class ApiKeyRepository:
    """`services.security.keys.ApiKeyStore` in Postgres. Every method raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, event: AuditEvent) -> None:
        """Store a new key, and its user where there is none of that name in the tenant."""
        async with self._database.transaction() as connection:
            await _insert(connection, key)
            await connection.execute(recorded(event))

    async def find(self, lookup: str) -> ApiKey | None:
        """Return the key with these lookup characters, whoever's it is: this is how a tenant is known at all."""
        async with self._database.raw() as connection:
            row = await connection.fetchrow("SELECT * FROM api_keys WHERE lookup = $1", lookup)
        return None if row is None else _key(row)

    async def get(self, tenant_id: str, key_id: UUID) -> ApiKey:
        """Return a key of the tenant. Raises NotFound."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(api_keys).where(_one(tenant_id, key_id)))).mappings().one_or_none()
        if row is None:
            raise missing("key", key_id)
        return _key(row)

    async def list(self, tenant_id: str, *, limit: int, before: UUID | None = None) -> Sequence[ApiKey]:
        """Return keys of a tenant, newest first. `before` continues behind that one; behind one that is absent is nothing."""
        order = tuple_(api_keys.c.created_at, api_keys.c.id)
        found = select(api_keys).where(api_keys.c.tenant_id == tenant_id)
        if before is not None:
            mark = select(api_keys.c.created_at, api_keys.c.id).where(_one(tenant_id, before))
            found = found.where(order < mark.scalar_subquery())
        found = found.order_by(api_keys.c.created_at.desc(), api_keys.c.id.desc()).limit(limit)
        async with self._database.transaction() as connection:
            return [_key(row) for row in (await connection.execute(found)).mappings()]

    async def replace(self, retired: ApiKey, by: ApiKey, event: AuditEvent) -> None:
        """Store a new key, and of the one that it replaces by which, and when it expires.

        Raises NotFound where that is gone, was revoked, or was replaced before.
        """
        change = (
            update(api_keys)
            .where(
                _one(retired.tenant_id, retired.id), api_keys.c.revoked_at.is_(None), api_keys.c.replaced_by.is_(None)
            )
            .values(expires_at=retired.expires_at, replaced_by=retired.replaced_by)
            .returning(api_keys.c.id)
        )
        async with self._database.transaction() as connection:
            if (await connection.execute(change)).one_or_none() is None:
                raise missing("key", retired.id)
            await _insert(connection, by)
            await connection.execute(recorded(event))

    async def revoke(self, tenant_id: str, key_id: UUID, *, at: datetime, event: AuditEvent) -> None:
        """Mark a key of the tenant as revoked; the first time counts, and is the one recorded. Raises NotFound."""
        first = update(api_keys).where(_one(tenant_id, key_id), api_keys.c.revoked_at.is_(None)).values(revoked_at=at)
        async with self._database.transaction() as connection:
            if (await connection.execute(first.returning(api_keys.c.id))).one_or_none() is not None:
                await connection.execute(recorded(event))
            elif (await connection.execute(select(api_keys.c.id).where(_one(tenant_id, key_id)))).one_or_none() is None:
                raise missing("key", key_id)


async def _insert(connection: AsyncConnection, key: ApiKey) -> None:
    refuse_unstorable((key.tenant_id, key.user_id, key.lookup, *key.scopes))
    user = insert(users).values(tenant_id=key.tenant_id, id=key.user_id)
    # An update of nothing, for its lock: whoever erases the user waits, and then takes the key along.
    kept = user.on_conflict_do_update(index_elements=[users.c.tenant_id, users.c.id], set_={"id": user.excluded.id})
    await connection.execute(kept)
    await connection.execute(
        insert(api_keys).values(
            id=key.id,
            tenant_id=key.tenant_id,
            user_id=key.user_id,
            lookup=key.lookup,
            digest=key.digest,
            role=key.role,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            replaced_by=key.replaced_by,
        )
    )


def _one(tenant_id: str, key_id: UUID) -> ColumnElement[bool]:
    return and_(api_keys.c.tenant_id == tenant_id, api_keys.c.id == key_id)


def _key(row: Mapping[Any, Any]) -> ApiKey:
    return ApiKey(
        id=plain(row["id"]),
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        lookup=row["lookup"],
        digest=row["digest"],
        role=Role(row["role"]),
        scopes=frozenset(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        replaced_by=None if row["replaced_by"] is None else plain(row["replaced_by"]),
    )
