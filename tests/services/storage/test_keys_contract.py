"""What both stores of keys do, in Postgres and in memory: whose keys they are, and the record of what was done to them."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from services.errors import NotFound
from services.security.audit import AuditAction, AuditEvent
from services.security.keys import ApiKey
from services.security.permissions import Role
from services.types import Principal
from tests.services.storage.conftest import Stores

ADMIN = Principal(tenant_id="acme", user_id="ada", key_id=uuid7())
NOW = datetime.now(UTC)


def a_key(lookup: str, *, tenant_id: str = "acme", at: datetime = NOW) -> ApiKey:
    return ApiKey(
        id=uuid7(),
        tenant_id=tenant_id,
        user_id="alice",
        lookup=lookup,
        digest=bytes(32),
        role=Role.OPERATOR,
        scopes=frozenset({"runs:write", "audit:read"}),
        created_at=at,
        expires_at=at + timedelta(days=1),
    )


def an_event(key: ApiKey, action: AuditAction = AuditAction.KEY_CREATED) -> AuditEvent:
    return AuditEvent(
        id=uuid7(),
        tenant_id=key.tenant_id,
        action=action,
        user_id="ada",
        key_id=ADMIN.key_id,
        target=str(key.id),
        target_user_id=key.user_id,
        details={"role": key.role},
    )


async def added(stores: Stores, key: ApiKey) -> ApiKey:
    await stores.api_keys.add(key, an_event(key))
    return key


async def trail(stores: Stores) -> list[tuple[AuditAction, str]]:
    return [(event.action, event.target) for event in await stores.audit.list(ADMIN, limit=99)]


async def test_a_key_comes_back_as_it_was_stored(stores: Stores) -> None:
    """Every field survives; an unknown lookup finds None."""
    key = await added(stores, a_key("abc"))
    assert await stores.api_keys.find("abc") == await stores.api_keys.get("acme", key.id) == key
    assert await stores.api_keys.find("abd") is None


async def test_attempts_are_on_record_beside_changes(stores: Stores) -> None:
    """Several at once, each in its own tenant; without a key where somebody came with a token."""
    key = await added(stores, a_key("abc"))
    refused = replace(
        an_event(key, AuditAction.ACCESS_REFUSED), target_user_id=None, details={"reason": "key_expired", "times": "7"}
    )
    denied = replace(an_event(key, AuditAction.PERMISSION_DENIED), key_id=None, target="keys:manage")
    elsewhere = replace(an_event(key, AuditAction.PERMISSION_DENIED), tenant_id="evil")
    await stores.audit.add([refused, denied, elsewhere])
    await stores.audit.add([])
    found = await stores.audit.list(ADMIN, limit=9)
    assert [replace(event, at=None) for event in found[:2]] == [denied, refused]
    assert [event.action for event in found[2:]] == [AuditAction.KEY_CREATED]
    assert all(event.at for event in found)


async def test_keys_are_listed_and_revoked_within_their_tenant(stores: Stores) -> None:
    """Newest first; another tenant neither sees nor revokes them; the first revocation counts, and is the one recorded."""
    older, newer = a_key("old", at=NOW - timedelta(hours=1)), a_key("new")
    for key in (older, newer, a_key("other", tenant_id="evil")):
        await added(stores, key)
    assert list(await stores.api_keys.list("acme", limit=9)) == [newer, older]
    for hours in (0, 1):
        event = an_event(older, AuditAction.KEY_REVOKED)
        await stores.api_keys.revoke("acme", older.id, at=NOW + timedelta(hours=hours), event=event)
    assert await stores.api_keys.find("old") == replace(older, revoked_at=NOW)
    event = an_event(newer, AuditAction.KEY_REVOKED)
    for tenant_id, key_id in (("evil", newer.id), ("acme", uuid7())):
        with pytest.raises(NotFound):
            await stores.api_keys.get(tenant_id, key_id)
        with pytest.raises(NotFound):
            await stores.api_keys.revoke(tenant_id, key_id, at=NOW, event=event)
    assert await stores.api_keys.find("new") == newer
    assert (await trail(stores))[0] == (AuditAction.KEY_REVOKED, str(older.id))
    assert [action for action, _ in await trail(stores)].count(AuditAction.KEY_REVOKED) == 1


async def test_a_list_has_pages(stores: Stores) -> None:
    """`before` continues behind a key; behind one that is another tenant's, or nobody's, there is nothing."""
    keys = [await added(stores, a_key(f"k{n}", at=NOW + timedelta(seconds=n))) for n in range(3)]
    other = await added(stores, a_key("other", tenant_id="evil"))
    assert list(await stores.api_keys.list("acme", limit=2)) == [keys[2], keys[1]]
    assert list(await stores.api_keys.list("acme", limit=2, before=keys[1].id)) == [keys[0]]
    for before in (other.id, uuid7()):
        assert list(await stores.api_keys.list("acme", limit=2, before=before)) == []


async def test_one_key_replaces_another(stores: Stores) -> None:
    """Both are there, the old one with its new end. One that was replaced or revoked, or is another's, is not replaced."""
    old = await added(stores, a_key("old"))
    new = a_key("new")
    retired = replace(old, expires_at=NOW + timedelta(minutes=1), replaced_by=new.id)
    await stores.api_keys.replace(retired, new, an_event(old, AuditAction.KEY_ROTATED))
    assert (await stores.api_keys.find("old"), await stores.api_keys.find("new")) == (retired, new)
    assert (await trail(stores))[0] == (AuditAction.KEY_ROTATED, str(old.id))
    gone = await added(stores, a_key("gone"))
    await stores.api_keys.revoke("acme", gone.id, at=NOW, event=an_event(gone, AuditAction.KEY_REVOKED))
    for wrong in (retired, gone, replace(new, tenant_id="evil"), a_key("nobody")):
        with pytest.raises(NotFound):
            await stores.api_keys.replace(wrong, a_key("newer"), an_event(old, AuditAction.KEY_ROTATED))
    assert await stores.api_keys.find("newer") is None
    assert len(await trail(stores)) == 4


async def test_the_trail_is_a_tenants_own_and_has_pages(stores: Stores) -> None:
    """Every field comes back, with the time of the store."""
    events = []
    for n in range(3):
        key = a_key(f"k{n}")
        events.append(an_event(key))
        await stores.api_keys.add(key, events[-1])
    await added(stores, a_key("other", tenant_id="evil"))
    newest = await stores.audit.list(ADMIN, limit=2)
    assert [replace(event, at=None) for event in newest] == [events[2], events[1]]
    assert all(event.at is not None for event in newest)
    oldest = await stores.audit.list(ADMIN, limit=2, before=events[1].id)
    assert [event.id for event in oldest] == [events[0].id]


async def test_of_two_who_revoke_at_once_one_is_recorded(stores: Stores) -> None:
    key = await added(stores, a_key("abc"))
    revoking = (
        stores.api_keys.revoke("acme", key.id, at=NOW, event=an_event(key, AuditAction.KEY_REVOKED)) for _ in range(2)
    )
    await asyncio.gather(*revoking)
    assert len(await trail(stores)) == 2
