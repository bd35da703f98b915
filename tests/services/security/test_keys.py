"""API keys: what they look like, what is stored of them, and where they never appear."""

import hashlib
import hmac
import logging
from datetime import UTC, datetime

import pytest
from uuid_utils.compat import uuid7

from services.errors import ConfigurationError, MainstayError, Unauthenticated
from services.security.authenticator import Authenticator
from services.security.keys import ApiKey, KeyDigest, lookup_of, new_key, new_plaintext
from services.storage.memory import MemoryStore
from tests.services.security.records import Witness, an_event

PEPPER = "pepper-for-tests-only"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def created(store: MemoryStore) -> tuple[ApiKey, str]:
    made = new_key(PEPPER, key_id=uuid7(), tenant_id="acme", user_id="alice", scopes=["runs:write"], created_at=NOW)
    await store.api_keys.add(made.record, an_event(made.record))
    assert made.plaintext not in repr(made)
    return made.record, made.plaintext


async def test_a_key_is_one_word_of_58_letters_and_digits() -> None:
    """`ms_`, then 12 letters that find it, then 43 that prove it; no two alike."""
    keys = {new_plaintext() for _ in range(50)}
    assert len(keys) == 50
    for key in keys:
        assert len(key) == 58
        assert key.startswith("ms_")
        assert key[3:].isalnum()
        assert key.isascii()
        assert lookup_of(key) == key[3:15]


async def test_the_store_gets_an_hmac_and_no_key() -> None:
    """What is stored is HMAC-SHA-256 of the whole key under the pepper."""
    store = MemoryStore()
    key, plaintext = await created(store)
    stored = await store.api_keys.find(plaintext[3:15])
    assert stored == key
    assert key.digest == hmac.new(PEPPER.encode(), plaintext.encode(), hashlib.sha256).digest()
    assert (key.tenant_id, key.user_id, key.scopes, key.created_at) == (
        "acme",
        "alice",
        frozenset({"runs:write"}),
        NOW,
    )


@pytest.mark.parametrize(
    "presented",
    [
        "",
        "ms_",
        "ms_" + "a" * 54,
        "ms_" + "a" * 56,
        "sk_" + "a" * 55,
        "ms_" + "a" * 54 + "-",
        "ms_" + "é" * 55,
        "ms_\x00" + "a" * 54,
    ],
)
async def test_what_cannot_be_a_key_has_no_lookup(presented: str) -> None:
    """Wrong length, prefix or characters are seen without asking the store."""
    assert lookup_of(presented) is None


async def test_a_short_pepper_is_refused_without_being_shown() -> None:
    """Fifteen characters are too few, and the error does not repeat them."""
    with pytest.raises(ConfigurationError) as caught:
        KeyDigest("fifteen-letters")
    assert "fifteen" not in str(caught.value)


async def test_a_key_appears_in_no_repr_error_or_log(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key, its secret part, its digest nor the pepper is in anything that could be printed."""
    caplog.set_level(logging.DEBUG)
    store = MemoryStore()
    key, plaintext = await created(store)
    authenticator = Authenticator(store.api_keys, PEPPER, Witness(), cache_s=15.0, clock=lambda: 0.0, now=lambda: NOW)
    shown = [
        repr(key),
        str(key),
        repr(authenticator),
        repr(vars(authenticator)),
        repr(await authenticator.authenticate(plaintext)),
    ]
    wrong = plaintext[:-1] + ("a" if plaintext[-1] != "a" else "b")
    with pytest.raises(Unauthenticated) as caught:
        await authenticator.authenticate(wrong)
    error: MainstayError = caught.value
    shown += [str(error), repr(error), repr(error.to_failure()), caplog.text]
    for text in shown:
        for secret in (plaintext, plaintext[15:], wrong[15:], PEPPER, repr(key.digest)):
            assert secret not in text
