"""API keys in Postgres."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.security.keys import ApiKey
from services.storage.database import Database
from services.storage.encoding import plain, refuse_unstorable
from services.storage.tables import api_keys, users
from services.storage.tenancy import missing


class ApiKeyRepository:
    """`services.security.keys.ApiKeyStore` in Postgres. Every method raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey) -> None:
        """Store a new key, and its user where there is none of that name in the tenant."""
        refuse_unstorable((key.tenant_id, key.user_id, key.lookup, *key.scopes))
        user = insert(users).values(tenant_id=key.tenant_id, id=key.user_id).on_conflict_do_nothing()
        row = insert(api_keys).values(
            id=key.id,
            tenant_id=key.tenant_id,
            user_id=key.user_id,
            lookup=key.lookup,
            digest=key.digest,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )
        async with self._database.transaction() as connection:
            await connection.execute(user)
            await connection.execute(row)

    async def find(self, lookup: str) -> ApiKey | None:
        """Return the key with these lookup characters, whoever's it is: this is how a tenant is known at all."""
        async with self._database.raw() as connection:
            row = await connection.fetchrow("SELECT * FROM api_keys WHERE lookup = $1", lookup)
        return None if row is None else _key(row)

    async def list(self, tenant_id: str) -> Sequence[ApiKey]:
        """Return the keys of a tenant, newest first."""
        found = select(api_keys).where(api_keys.c.tenant_id == tenant_id)
        async with self._database.transaction() as connection:
            rows = await connection.execute(found.order_by(api_keys.c.created_at.desc(), api_keys.c.id.desc()))
            return [_key(row) for row in rows.mappings()]

    async def revoke(self, tenant_id: str, key_id: UUID, *, at: datetime) -> None:
        """Mark a key of the tenant as revoked; the first time counts. Raises NotFound."""
        change = (
            update(api_keys)
            .where(api_keys.c.tenant_id == tenant_id, api_keys.c.id == key_id)
            .values(revoked_at=func.coalesce(api_keys.c.revoked_at, at))
            .returning(api_keys.c.id)
        )
        async with self._database.transaction() as connection:
            if (await connection.execute(change)).one_or_none() is None:
                raise missing("key", key_id)


def _key(row: Mapping[Any, Any]) -> ApiKey:
    return ApiKey(
        id=plain(row["id"]),
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        lookup=row["lookup"],
        digest=row["digest"],
        scopes=frozenset(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
