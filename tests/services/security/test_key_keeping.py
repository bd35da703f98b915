"""Keeping a tenant's keys: who may make what, how one replaces another, and what stays on record of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.errors import InvalidRequest, MainstayError, NotFound, PermissionDenied, Unauthenticated
from services.security.audit import OPERATIONS, AuditAction
from services.security.authenticator import Authenticator
from services.security.key_keeping import KeyKeeping, KeyRequest
from services.security.permissions import GRANTS, Permission, Role, permissions_of
from services.security.refusals import Reason
from services.storage.memory import MemoryStore
from services.types import Principal
from tests.services.security.records import Witness

PEPPER = "pepper-for-tests-only"
START = datetime(2026, 11, 29, tzinfo=UTC)
ADMIN = Principal(tenant_id="acme", user_id="ada", permissions=GRANTS[Role.ADMIN])


class House:
    """The keys of a house, and the clock on its wall."""

    def __init__(self) -> None:
        self.now = START
        self.store = MemoryStore()
        self.watch = Witness()
        self.keys = KeyKeeping(self.store.api_keys, PEPPER, self.watch, new_id=uuid7, now=lambda: self.now)
        self.door = Authenticator(
            self.store.api_keys, PEPPER, Witness(), cache_s=0.0, clock=lambda: 0.0, now=lambda: self.now
        )

    async def opens(self, plaintext: str) -> bool:
        try:
            await self.door.authenticate(plaintext)
        except MainstayError:
            return False
        return True

    async def trail(self) -> list[tuple[AuditAction, str, str | None]]:
        return [(e.action, e.target, e.target_user_id) for e in await self.store.audit.list(ADMIN, limit=9)]


@pytest.fixture
def house() -> House:
    return House()


async def test_a_new_key_opens_what_it_was_made_for(house: House) -> None:
    """In the tenant of whoever made it, for as long as it was to last; the record says who, for whom, and what it may."""
    request = KeyRequest(user_id="bob", role=Role.OPERATOR, scopes=("runs:read", "audit:read"), expires_in_s=60.0)
    made = await house.keys.create(ADMIN, request)
    assert await house.door.authenticate(made.plaintext) == Principal(
        tenant_id="acme",
        user_id="bob",
        key_id=made.record.id,
        permissions=frozenset({Permission.RUNS_READ, Permission.AUDIT_READ}),
    )
    [event] = await house.store.audit.list(ADMIN, limit=9)
    assert (event.action, event.user_id, event.key_id) == (AuditAction.KEY_CREATED, "ada", None)
    assert (event.target, event.target_user_id) == (str(made.record.id), "bob")
    assert event.details == {"role": "operator", "scopes": "audit:read runs:read"}
    house.now += timedelta(seconds=60)
    assert not await house.opens(made.plaintext)


@pytest.mark.parametrize(
    ("role", "scopes", "allowed"),
    [
        (Role.USER, (), False),
        (Role.USER, ("runs:read",), True),
        (Role.ADMIN, ("keys:manage",), True),
        (Role.ADMIN, (), False),
        (Role.OPERATOR, ("audit:read",), False),
    ],
)
async def test_nobody_gives_what_they_have_not(house: House, role: Role, scopes: Any, allowed: bool) -> None:
    """Neither to a new key nor by rotating one that has it."""
    clerk = replace(ADMIN, permissions=frozenset({Permission.KEYS_MANAGE, Permission.RUNS_READ}))
    request = KeyRequest(user_id="bob", role=role, scopes=scopes)
    theirs = (await house.keys.create(ADMIN, request)).record
    if allowed:
        await house.keys.create(clerk, request)
        await house.keys.rotate(clerk, theirs.id, grace_s=0.0)
        return
    with pytest.raises(PermissionDenied):
        await house.keys.create(clerk, request)
    with pytest.raises(PermissionDenied):
        await house.keys.rotate(clerk, theirs.id, grace_s=0.0)
    assert len(await house.trail()) == 1
    more = permissions_of(role, scopes) - clerk.permissions
    assert {(who.user_id, permission) for who, permission in house.watch.denials} == {("ada", one) for one in more}
    assert len(house.watch.denials) == 2 * len(more)


async def test_an_unknown_scope_makes_no_key(house: House) -> None:
    with pytest.raises(InvalidRequest):
        await house.keys.create(ADMIN, KeyRequest(user_id="bob", scopes=("everything",)))
    assert not await house.keys.list(ADMIN, limit=9)


@pytest.mark.parametrize("lasting_s", [None, 86_400.0])
async def test_a_rotated_key_goes_on_for_its_grace(house: House, lasting_s: float | None) -> None:
    """The new one is for the same person and the same ends, and lasts as long from now as the old one did."""
    old = await house.keys.create(
        ADMIN, KeyRequest(user_id="bob", role=Role.OPERATOR, scopes=("runs:read",), expires_in_s=lasting_s)
    )
    house.now += timedelta(hours=1)
    new = await house.keys.rotate(ADMIN, old.record.id, grace_s=60.0)
    before, after = await house.door.authenticate(old.plaintext), await house.door.authenticate(new.plaintext)
    assert replace(before, key_id=None) == replace(after, key_id=None)
    assert new.record.expires_at == (None if lasting_s is None else house.now + timedelta(seconds=lasting_s))
    house.now += timedelta(seconds=60)
    assert (await house.opens(old.plaintext), await house.opens(new.plaintext)) == (False, True)
    assert (await house.trail())[0] == (AuditAction.KEY_ROTATED, str(old.record.id), "bob")


async def test_a_grace_lengthens_no_life(house: House) -> None:
    old = await house.keys.create(ADMIN, KeyRequest(user_id="bob", expires_in_s=60.0))
    await house.keys.rotate(ADMIN, old.record.id, grace_s=3_600.0)
    assert (await house.keys.list(ADMIN, limit=2))[-1].expires_at == old.record.expires_at


async def test_what_is_over_is_not_rotated(house: House) -> None:
    """An expired or revoked key has nothing to hand on; it is absent, and so is another tenant's."""
    expired = await house.keys.create(ADMIN, KeyRequest(user_id="bob", expires_in_s=60.0))
    revoked = await house.keys.create(ADMIN, KeyRequest(user_id="bob"))
    await house.keys.revoke(ADMIN, revoked.record.id)
    house.now += timedelta(seconds=60)
    stranger = replace(ADMIN, tenant_id="other")
    living = await house.keys.create(ADMIN, KeyRequest(user_id="bob"))
    for asking, key in ((ADMIN, expired), (ADMIN, revoked), (stranger, living)):
        with pytest.raises(NotFound):
            await house.keys.rotate(asking, key.record.id, grace_s=0.0)


async def test_a_revoked_key_opens_nothing(house: House) -> None:
    """Another tenant cannot revoke it, and is told what it would be told of a key that there is not."""
    made = await house.keys.create(ADMIN, KeyRequest(user_id="bob"))
    with pytest.raises(NotFound):
        await house.keys.revoke(replace(ADMIN, tenant_id="other"), made.record.id)
    assert await house.opens(made.plaintext)
    await house.keys.revoke(ADMIN, made.record.id)
    assert not await house.opens(made.plaintext)
    assert [action for action, *_ in await house.trail()] == [AuditAction.KEY_REVOKED, AuditAction.KEY_CREATED]


async def test_a_key_is_replaced_once(house: House) -> None:
    """The second answer could be taken for the only one: it names the key that is there, and its life is not cut short."""
    old = await house.keys.create(ADMIN, KeyRequest(user_id="bob"))
    new = await house.keys.rotate(ADMIN, old.record.id, grace_s=60.0)
    with pytest.raises(InvalidRequest, match=str(new.record.id)):
        await house.keys.rotate(ADMIN, old.record.id, grace_s=0.0)
    newest = await house.keys.rotate(ADMIN, new.record.id, grace_s=60.0)
    assert newest.record.expires_at is None


@pytest.mark.parametrize("over", ["revoked", "expired", "gone"])
async def test_a_key_that_is_over_changes_nothing(house: House, over: str) -> None:
    """A replica may know it for some seconds more: long enough to make another one with it."""
    mine = await house.keys.create(ADMIN, KeyRequest(user_id="eve", role=Role.ADMIN, expires_in_s=60.0))
    other = await house.keys.create(ADMIN, KeyRequest(user_id="bob"))
    eve = await house.door.authenticate(mine.plaintext)
    event = (await house.keys.create(eve, KeyRequest(user_id="eve"))).record
    assert (await house.store.audit.list(ADMIN, limit=1))[0].key_id == mine.record.id
    assert event.user_id == "eve"
    if over == "revoked":
        await house.keys.revoke(ADMIN, mine.record.id)
    elif over == "expired":
        house.now += timedelta(seconds=60)
    else:
        eve = replace(eve, key_id=uuid7())
    before = await house.trail()
    for change in (
        house.keys.create(eve, KeyRequest(user_id="eve", role=Role.ADMIN)),
        house.keys.rotate(eve, other.record.id, grace_s=0.0),
        house.keys.revoke(eve, other.record.id),
    ):
        with pytest.raises(Unauthenticated):
            await change
    assert await house.trail() == before
    assert await house.opens(other.plaintext)
    heard = {"revoked": Reason.KEY_REVOKED, "expired": Reason.KEY_EXPIRED}.get(over, Reason.KEY_UNKNOWN)
    of_key = None if heard is Reason.KEY_UNKNOWN else mine.record.id
    assert [(reason, key and key.id) for reason, key in house.watch.refusals] == [(heard, of_key)] * 3


@pytest.mark.parametrize("name", ["", "x" * 129, "a\x1b[2K", "a\nb", "a\u202eb", OPERATIONS])
async def test_a_name_can_be_read_and_is_nobodys(house: House, name: str) -> None:
    """Names are shown in lists, to people who go by them."""
    with pytest.raises(InvalidRequest) as caught:
        await house.keys.create(ADMIN, KeyRequest(user_id=name))
    assert caught.value.param == "user_id"
    if name != OPERATIONS:
        with pytest.raises(InvalidRequest) as caught:
            await house.keys.create(replace(ADMIN, tenant_id=name), KeyRequest(user_id="bob"))
        assert caught.value.param == "tenant_id"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 59.0, 1e12])
async def test_times_have_bounds(house: House, seconds: float) -> None:
    """Also for whoever types them into a command."""
    with pytest.raises(InvalidRequest) as caught:
        await house.keys.create(ADMIN, KeyRequest(user_id="bob", expires_in_s=seconds))
    assert caught.value.param == "expires_in_s"
    if seconds != 59.0:
        made = await house.keys.create(ADMIN, KeyRequest(user_id="bob"))
        with pytest.raises(InvalidRequest) as caught:
            await house.keys.rotate(ADMIN, made.record.id, grace_s=seconds)
        assert caught.value.param == "grace_s"
