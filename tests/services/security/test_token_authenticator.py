"""Tokens and keys at the door: one answer for every refusal, one computation for each token, a bound on memory."""

from collections.abc import Callable
from datetime import timedelta
from unittest.mock import patch

import pytest

from services.errors import IdentityUnavailable, Unauthenticated
from services.security import token_authenticator
from services.security.authenticator import Authenticator
from services.security.key_source import KeySource, KeysUnreachable, KeyTimes
from services.security.keys import new_plaintext
from services.security.refusals import Reason, refusal
from services.security.token_authenticator import KeyOrToken, TokenAuthenticator
from services.security.tokens import MAX_TOKEN_CHARS, verified
from services.storage.memory_keys import MemoryApiKeys, MemoryAuditTrail
from services.types import Principal
from tests.services.security.issuer import FORGED, NOW, POLICY, START, jwk, key_set, token
from tests.services.security.records import Witness

EVERYTHING = key_set()


class Door:
    """Whoever recognises tokens and keys, over a provider that is there until `body` is None. `computed` counts signatures."""

    def __init__(self, max_cached: int = 100) -> None:
        self.body: bytes | None = EVERYTHING
        self.passed_s = 0.0
        self.computed = 0
        self.watch = Witness()
        keys = KeySource(self._fetch, KeyTimes(), clock=lambda: self.passed_s, reported=lambda _: None)
        self.tokens = TokenAuthenticator(
            keys,
            POLICY,
            self.watch,
            clock=lambda: self.passed_s,
            now=lambda: START + timedelta(seconds=self.passed_s),
            max_cached=max_cached,
        )
        store = MemoryApiKeys(MemoryAuditTrail(lambda: START))
        api_keys = Authenticator(store, "pepper-for-tests-only", self.watch, cache_s=0.0, clock=lambda: 0.0)
        self.both = KeyOrToken(api_keys, self.tokens)

    async def _fetch(self) -> bytes:
        if self.body is None:
            raise KeysUnreachable("HTTP 503")
        return self.body

    async def user(self, presented: str) -> str:
        def counted(*args: object) -> object:
            self.computed += 1
            return verified(*args)  # type: ignore[arg-type]

        with patch.object(token_authenticator, "verified", counted):
            return (await self.both.authenticate(presented)).user_id

    async def refused(self, presented: str) -> dict[str, object]:
        with pytest.raises(Unauthenticated) as caught:
            await self.user(presented)
        assert caught.value.__cause__ is None
        return {"message": caught.value.message, "param": caught.value.param, "after": caught.value.retry_after_s}


async def test_a_token_is_computed_once() -> None:
    """And looked at again after a while, whatever is remembered."""
    door, presented = Door(), token(exp=int(NOW) + 900)
    for _ in range(3):
        assert await door.user(presented) == "ada"
    door.passed_s = 299.9
    assert await door.user(presented) == "ada"
    assert door.computed == 1
    door.passed_s = 300.0
    assert await door.user(presented) == "ada"
    assert door.computed == 2


async def test_a_remembered_token_ends_on_time() -> None:
    """To the second, with the leeway."""
    door, presented = Door(), token(exp=int(NOW) + 60)
    door.passed_s = 89.9
    assert await door.user(presented) == "ada"
    door.passed_s = 90.0
    await door.refused(presented)
    assert door.watch.reasons == [Reason.TOKEN_EXPIRED]
    assert door.computed == 1


async def test_a_remembered_token_goes_with_its_key() -> None:
    """Once the provider has withdrawn the key, or put another one in its place under the same name."""
    for instead in (key_set(jwk("ed")), key_set(jwk("ec-of-somebody-else", kid="ec", alg="ES256"))):
        door, presented = Door(), token(exp=int(NOW) + 3_600)
        await door.user(token("ed"))
        door.passed_s, door.body = 200.0, instead
        assert await door.user(presented) == "ada"
        door.passed_s = 299.9
        assert await door.user(presented) == "ada"
        door.passed_s = 300.0
        await door.refused(presented)
        assert door.computed <= 3, "it was still remembered"


async def test_a_remembered_token_is_good_no_longer_than_the_keys() -> None:
    """When the provider has been away for too long nobody is let in by it, and nobody is told that they are wrong."""
    door, presented = Door(), token(exp=int(NOW) + 86_000)
    assert await door.user(presented) == "ada"
    door.body, door.passed_s = None, 3_899.0
    assert await door.user(presented) == "ada"
    door.passed_s = 3_900.0
    with pytest.raises(IdentityUnavailable):
        await door.user(presented)
    assert door.watch.reasons == []


@pytest.mark.parametrize("body", [None, b"{}"])
async def test_without_the_keys_a_token_is_not_refused(body: bytes | None) -> None:
    """503; but what cannot be a good token whatever the keys are is refused all the same, and keys go on as ever."""
    door = Door()
    door.body = body
    with pytest.raises(IdentityUnavailable):
        await door.user(token())
    await door.refused(FORGED["alg none"][0]())
    await door.refused(new_plaintext())


async def test_every_refusal_is_the_same() -> None:
    """Of a key, of a token, of neither, and of nothing: same words, no cause; the watch alone hears why."""
    door = Door()
    shapes = ["", "nonsense", "a.b", "a.b.c.d", "a.b.c " * 9, new_plaintext(), "a.b." + "c" * MAX_TOKEN_CHARS]
    for presented in (*shapes, *(make() for make, _ in FORGED.values())):
        assert await door.refused(presented) == {"message": str(refusal()), "param": "authorization", "after": None}
    expected = [Reason.KEY_UNKNOWN if shape.startswith("ms_") else Reason.UNREADABLE for shape in shapes]
    assert door.watch.reasons == [*expected, *(reason for _, reason in FORGED.values())]
    assert len(door.tokens._known) == 0


async def test_what_is_remembered_is_bounded() -> None:
    """The oldest is forgotten, and computed again when it comes."""
    door = Door(max_cached=3)
    several = [token(sub=f"user-{n}") for n in range(5)]
    for presented in several:
        await door.user(presented)
    assert len(door.tokens._known) == 3
    assert await door.user(several[0]) == "user-0"
    assert door.computed == 6


async def test_two_tokens_are_never_taken_for_each_other() -> None:
    """Not even where one differs only in its signature, which for these algorithms is another each time."""
    door = Door()
    first, second = token(sub="ada"), token(sub="bob", tenant="other")
    assert (await door.user(first), await door.user(second), await door.user(first)) == ("ada", "bob", "ada")
    await door.refused(first.rpartition(".")[0] + "." + second.rpartition(".")[2])


async def test_the_form_decides_who_is_asked() -> None:
    """A key has no dots, and whatever has the form of a token is none; so neither is tried as the other."""
    asked: list[str] = []

    def of(name: str) -> Callable[..., object]:
        class Recording:
            async def authenticate(self, presented: str) -> Principal:
                asked.append(name)
                return Principal(tenant_id="acme", user_id=name)

        return Recording

    both = KeyOrToken(of("key")(), of("token")())  # type: ignore[arg-type]
    for presented in (new_plaintext(), token(), "nonsense", FORGED["alg none"][0]()):
        await both.authenticate(presented)
    assert asked == ["key", "token", "key", "token"]
