"""API keys: `ms_`, 12 characters that find the key's row, 43 characters that prove who holds it.

The store keeps an HMAC-SHA-256 of the whole key under a pepper that is not in the store, so a copy of the database opens
nothing. The secret part has 256 random bits: a slow password hash would only cost CPU on each request.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.errors import ConfigurationError
from services.security.audit import AuditEvent
from services.security.permissions import Role

MIN_PEPPER_CHARS = 16
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = "ms_"
_LOOKUP_CHARS = 12
_SECRET_CHARS = 43  # 62 ** 43 > 2 ** 256
_KEY_CHARS = len(_PREFIX) + _LOOKUP_CHARS + _SECRET_CHARS
_LETTERS = frozenset(_ALPHABET)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as stored: what it opens, and how to recognise it, but not the key. Times carry their time zone."""

    id: UUID
    tenant_id: str
    user_id: str
    lookup: str
    digest: bytes = field(repr=False)
    role: Role = Role.USER
    scopes: frozenset[str] = frozenset()
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    replaced_by: UUID | None = None
    """The key that was made in place of this one."""

    @property
    def prefix(self) -> str:
        """How the key begins: enough to know it again, and not enough to use it."""
        return _PREFIX + self.lookup

    def usable(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class ApiKeyStore(Protocol):
    """Where keys live. Every method raises StoreUnavailable when the store cannot be reached in time.

    What changes something stores the event that tells of it in the same transaction.
    """

    async def add(self, key: ApiKey, event: AuditEvent) -> None:
        """Store a new key, and its user where there is none of that name in the tenant."""
        ...

    async def find(self, lookup: str) -> ApiKey | None:
        """Return the key with these lookup characters, expired and revoked ones too."""
        ...

    async def get(self, tenant_id: str, key_id: UUID) -> ApiKey:
        """Return a key of the tenant. Raises NotFound."""
        ...

    async def list(self, tenant_id: str, *, limit: int, before: UUID | None = None) -> Sequence[ApiKey]:
        """Return keys of a tenant, newest first; `before` continues behind that one."""
        ...

    async def replace(self, retired: ApiKey, by: ApiKey, event: AuditEvent) -> None:
        """Store a new key, and of the one that it replaces by which, and when it expires.

        Raises NotFound where that is gone, was revoked, or was replaced before.
        """
        ...

    async def revoke(self, tenant_id: str, key_id: UUID, *, at: datetime, event: AuditEvent) -> None:
        """Mark a key of the tenant as revoked; the first time counts, and is the one recorded. Raises NotFound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just made: its record, and the key itself, which cannot be had again."""

    record: ApiKey
    plaintext: str = field(repr=False)


def new_key(
    pepper: str,
    *,
    key_id: UUID,
    tenant_id: str,
    user_id: str,
    created_at: datetime,
    role: Role = Role.USER,
    scopes: Collection[str] = (),
    expires_at: datetime | None = None,
) -> NewKey:
    """Make a key. Raises ConfigurationError for a pepper that is too short."""
    plaintext = new_plaintext()
    record = ApiKey(
        id=key_id,
        tenant_id=tenant_id,
        user_id=user_id,
        lookup=lookup_of(plaintext) or "",
        digest=KeyDigest(pepper)(plaintext),
        role=role,
        scopes=frozenset(scopes),
        created_at=created_at,
        expires_at=expires_at,
    )
    return NewKey(record=record, plaintext=plaintext)


class KeyDigest:
    """HMAC-SHA-256 under one pepper. Raises ConfigurationError for a pepper under 16 characters."""

    def __init__(self, pepper: str) -> None:
        if len(pepper) < MIN_PEPPER_CHARS:
            raise ConfigurationError(f"The key pepper must have at least {MIN_PEPPER_CHARS} characters.")
        self._pepper = pepper.encode()

    def __call__(self, key: str) -> bytes:
        return hmac.digest(self._pepper, key.encode(), hashlib.sha256)


def new_plaintext() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LOOKUP_CHARS + _SECRET_CHARS))
    return _PREFIX + letters


def lookup_of(presented: str) -> str | None:
    """Return the characters that find the key's row, None for what cannot be a key of ours."""
    if len(presented) != _KEY_CHARS or not presented.startswith(_PREFIX):
        return None
    letters = presented[len(_PREFIX) :]
    return letters[:_LOOKUP_CHARS] if _LETTERS.issuperset(letters) else None
