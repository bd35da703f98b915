"""The authenticator: one answer for every refusal, few questions to the store, and a bound on what it remembers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.errors import StoreUnavailable, Unauthenticated
from services.security.authenticator import Authenticator
from services.security.keys import ApiKey, new_key, new_plaintext
from services.security.permissions import Permission
from services.security.refusals import Reason
from services.storage.memory_keys import MemoryApiKeys, MemoryAuditTrail
from services.types import Principal
from tests.services.security.records import Witness, an_event

PEPPER = "pepper-for-tests-only"
START = datetime(2026, 11, 22, tzinfo=UTC)


class Clocks:
    """A monotonic clock and a wall clock that move together, by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed_s)


class CountingStore(MemoryApiKeys):
    """A store that counts its look-ups and can be down."""

    def __init__(self) -> None:
        super().__init__(MemoryAuditTrail(lambda: START))
        self.lookups = 0
        self.down = False

    async def find(self, lookup: str) -> ApiKey | None:
        self.lookups += 1
        if self.down:
            raise StoreUnavailable("The database cannot be reached.")
        return await super().find(lookup)


class House:
    """An authenticator over a store, with clocks in the test's hand."""

    def __init__(self, *, cache_s: float = 15.0, max_cached: int = 100) -> None:
        self.clocks = Clocks()
        self.store = CountingStore()
        self.watch = Witness()
        self.authenticator = Authenticator(
            self.store,
            PEPPER,
            self.watch,
            cache_s=cache_s,
            clock=self.clocks.monotonic,
            now=self.clocks.now,
            max_cached=max_cached,
        )

    async def key(self, *, expires_in_s: float | None = None, scopes: Sequence[str] = ()) -> tuple[ApiKey, str]:
        expires_at = None if expires_in_s is None else self.clocks.now() + timedelta(seconds=expires_in_s)
        made = new_key(
            PEPPER,
            key_id=uuid7(),
            tenant_id="acme",
            user_id="alice",
            scopes=scopes,
            expires_at=expires_at,
            created_at=self.clocks.now(),
        )
        await self.store.add(made.record, an_event(made.record))
        return made.record, made.plaintext

    async def revoke(self, key: ApiKey, at: datetime) -> None:
        await self.store.revoke("acme", key.id, at=at, event=an_event(key))

    async def refusal(self, presented: str) -> str:
        with pytest.raises(Unauthenticated) as caught:
            await self.authenticator.authenticate(presented)
        return str(caught.value)


async def test_a_valid_key_names_its_principal() -> None:
    """Tenant, user, key id, and what the key permits, come from the store."""
    house = House()
    key, plaintext = await house.key(scopes=["runs:write"])
    expected = Principal(
        tenant_id="acme", user_id="alice", key_id=key.id, permissions=frozenset({Permission.RUNS_WRITE})
    )
    assert await house.authenticator.authenticate(plaintext) == expected


async def test_every_refusal_has_the_same_words() -> None:
    """Nothing, nonsense, unknown, right lookup with a wrong secret, expired and revoked keys cannot be told apart."""
    house = House()
    _, plaintext = await house.key()
    _, expired = await house.key(expires_in_s=0.0)
    revoked_key, revoked = await house.key()
    await house.revoke(revoked_key, START)
    wrong = plaintext[:-1] + ("a" if plaintext[-1] != "a" else "b")
    words = {await house.refusal(key) for key in ("", "nonsense", new_plaintext(), wrong, expired, revoked)}
    assert len(words) == 1


async def test_the_watch_hears_the_reason() -> None:
    """What the caller is not told: malformed, unknown, expired, revoked; and whose key it was that is over."""
    house = House()
    await house.refusal("nonsense")
    await house.refusal(new_plaintext())
    expired_key, expired = await house.key(expires_in_s=0.0)
    revoked_key, revoked = await house.key()
    await house.revoke(revoked_key, START)
    await house.refusal(expired)
    await house.refusal(revoked)
    assert house.watch.reasons == [Reason.UNREADABLE, Reason.KEY_UNKNOWN, Reason.KEY_EXPIRED, Reason.KEY_REVOKED]
    assert [key and key.id for _, key in house.watch.refusals] == [None, None, expired_key.id, revoked_key.id]


async def test_a_key_under_another_pepper_opens_nothing() -> None:
    """A copied database is of no use without the pepper."""
    house = House()
    _, plaintext = await house.key()
    elsewhere = Authenticator(house.store, PEPPER + "!", house.watch, cache_s=15.0, clock=house.clocks.monotonic)
    with pytest.raises(Unauthenticated):
        await elsewhere.authenticate(plaintext)


async def test_the_store_is_asked_once_per_cache_time() -> None:
    """Within the time no question is asked; at its end one is."""
    house = House(cache_s=15.0)
    _, plaintext = await house.key()
    for _ in range(3):
        await house.authenticator.authenticate(plaintext)
    house.clocks.passed_s = 14.9
    await house.authenticator.authenticate(plaintext)
    assert house.store.lookups == 1
    house.clocks.passed_s = 15.0
    await house.authenticator.authenticate(plaintext)
    assert house.store.lookups == 2


async def test_a_revoked_key_ends_with_the_cache_time() -> None:
    """It may be accepted until then, and never afterwards."""
    house = House(cache_s=15.0)
    key, plaintext = await house.key()
    await house.authenticator.authenticate(plaintext)
    await house.revoke(key, house.clocks.now())
    house.clocks.passed_s = 15.0
    await house.refusal(plaintext)


async def test_a_cached_key_expires_on_time() -> None:
    """Expiry is checked on each use, whatever is cached."""
    house = House(cache_s=300.0)
    _, plaintext = await house.key(expires_in_s=10.0)
    await house.authenticator.authenticate(plaintext)
    house.clocks.passed_s = 10.0
    await house.refusal(plaintext)


async def test_a_refusal_is_remembered_for_a_short_time() -> None:
    """The same wrong key costs one look-up in five seconds; nonsense costs none."""
    house = House(cache_s=300.0)
    unknown = new_plaintext()
    for _ in range(3):
        await house.refusal(unknown)
        await house.refusal("nonsense")
    assert house.store.lookups == 1
    house.clocks.passed_s = 5.0
    await house.refusal(unknown)
    assert house.store.lookups == 2


async def test_a_flood_of_invented_keys_pushes_out_no_valid_one() -> None:
    """What is remembered is bounded on both sides, and refusals do not compete with keys."""
    house = House(max_cached=10)
    _, plaintext = await house.key()
    await house.authenticator.authenticate(plaintext)
    for _ in range(100):
        await house.refusal(new_plaintext())
    asked = house.store.lookups
    await house.authenticator.authenticate(plaintext)
    assert house.store.lookups == asked
    assert all(len(cache) <= 10 for cache in (house.authenticator._accepted, house.authenticator._refused))


async def test_a_store_that_is_down_is_not_a_refusal() -> None:
    """StoreUnavailable passes, is not remembered, and cached keys go on working."""
    house = House()
    _, known = await house.key()
    _, other = await house.key()
    await house.authenticator.authenticate(known)
    house.store.down = True
    await house.authenticator.authenticate(known)
    with pytest.raises(StoreUnavailable):
        await house.authenticator.authenticate(other)
    house.store.down = False
    assert isinstance((await house.authenticator.authenticate(other)).key_id, UUID)


async def test_without_a_cache_time_every_use_asks() -> None:
    """`cache_s` 0 turns the cache off."""
    house = House(cache_s=0.0)
    _, plaintext = await house.key()
    for _ in range(2):
        await house.authenticator.authenticate(plaintext)
    assert house.store.lookups == 2
