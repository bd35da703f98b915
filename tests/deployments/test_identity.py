"""Identity as the composition opens it: keys alone unless an operator names a provider, and then by real HTTP."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest

from configs.section import SettingsError
from configs.security import JwtSettings, SecuritySettings
from configs.settings import load
from deployments.composition.identity import open_identity, token_policy
from deployments.http.access import Authenticator
from services.errors import ConfigurationError, IdentityUnavailable, Unauthenticated
from services.security.key_source import KeyTimes
from services.security.keys import new_plaintext
from services.security.permissions import Permission, Role
from services.security.signing_keys import ALGORITHMS
from services.security.tokens import TokenPolicy
from services.security.watch import SecurityWatch
from services.storage.memory_keys import MemoryApiKeys, MemoryAuditTrail
from services.telemetry.metrics import KEY_SET_FETCHES, UNMEASURED, Metric
from services.types import Principal
from tests.services.security.issuer import AUDIENCE, ISSUER, key_set, token
from tests.services.security.receiver import receiver

PROVIDER = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": "https://login.example.com/jwks"}
OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"


class Measured:
    """A meter that remembers the outcomes of fetches."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        if metric is KEY_SET_FETCHES:
            assert value == 1
            self.outcomes.append(labels["outcome"])


@pytest.fixture(autouse=True)
def pepper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_KEY_PEPPER", "pepper-for-tests-only")


@asynccontextmanager
async def identity(meter: Any = UNMEASURED, **jwt: Any) -> AsyncIterator[Authenticator]:
    settings = load([], {"security": {"jwt": {**PROVIDER, **jwt}} if jwt else {}}).security
    trail = MemoryAuditTrail(lambda: datetime.now(UTC))
    store = MemoryApiKeys(trail)
    opened = open_identity(settings, store, trail, meter)
    try:
        yield opened.authenticator
    finally:
        await opened.aclose()


def living(**said: Any) -> str:
    now = int(time.time())
    return token(iat=now, exp=now + 60, **said)


async def test_without_a_provider_a_token_is_nothing() -> None:
    """What ships has none: a token is refused like any other text, and nothing is fetched."""
    async with identity() as door:
        for presented in (living(), new_plaintext()):
            with pytest.raises(Unauthenticated):
                await door.authenticate(presented)


async def test_a_token_is_taken_by_the_keys_at_the_operators_address() -> None:
    """From the YAML to the principal: a real fetch, real signatures, real time."""
    meter = Measured()
    async with receiver(OK + key_set()) as server:
        url = f"http://127.0.0.1:{server.port}/jwks"
        roles = {"role_claim": ["realm_access", "roles"], "roles": {"ops": "operator"}}
        async with identity(meter, jwks_url=url, allow_http=True, **roles) as door:
            principal = await door.authenticate(living(realm_access={"roles": ["ops"]}))
            await door.authenticate(living())
            with pytest.raises(Unauthenticated):
                await door.authenticate(living(aud="another"))
            with pytest.raises(Unauthenticated):
                await door.authenticate(new_plaintext())
    assert (principal.tenant_id, principal.user_id, principal.key_id) == ("acme", "ada", None)
    assert "audit:read" in principal.permissions
    assert "keys:manage" not in principal.permissions
    assert (server.connections, meter.outcomes) == (1, ["ok"])


async def test_a_provider_that_is_away_keeps_nobody_from_starting() -> None:
    """Nothing is fetched before a token comes, and that one is told to come again."""
    meter = Measured()
    async with receiver() as gone:
        pass
    async with identity(meter, jwks_url=f"http://127.0.0.1:{gone.port}/", allow_http=True) as door:
        assert meter.outcomes == []
        with pytest.raises(IdentityUnavailable):
            await door.authenticate(living())
        with pytest.raises(Unauthenticated):
            await door.authenticate(new_plaintext())
    assert meter.outcomes == ["failed"]


async def test_refusals_are_on_record_when_a_replica_is_stopped() -> None:
    """What it has heard since the last minute is told at its end; until then it tells by itself."""
    trail = MemoryAuditTrail(lambda: datetime.now(UTC))
    opened = open_identity(load([]).security, MemoryApiKeys(trail), trail, UNMEASURED)
    eve = Principal(tenant_id="acme", user_id="eve")
    opened.watch.denied(eve, Permission.KEYS_MANAGE)
    assert isinstance(opened.watch, SecurityWatch)
    assert opened.watch._telling is not None
    assert await trail.list(eve, limit=9) == []
    await opened.aclose()
    assert opened.watch._telling.done()
    assert [event.target for event in await trail.list(eve, limit=9)] == ["keys:manage"]


async def test_values_may_be_variables_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs between machines is named and not written; what is missing is said, and http is refused there too."""
    refs = {name: {"env": name.upper()} for name in PROVIDER}
    with pytest.raises(SettingsError, match="ISSUER"):
        async with identity(**refs):
            pass
    monkeypatch.setenv("ISSUER", ISSUER)
    monkeypatch.setenv("AUDIENCE", AUDIENCE)
    monkeypatch.setenv("JWKS_URL", "http://login.example.com/jwks")
    with pytest.raises(ConfigurationError, match="https://"):
        async with identity(**refs):
            pass
    monkeypatch.setenv("JWKS_URL", "https://login.example.com/jwks")
    async with identity(**refs):
        pass


def test_every_setting_gets_to_the_policy() -> None:
    """None is left out on the way, and a claim may be a name or a way."""
    settings = JwtSettings(
        issuer="i",
        audience="a",
        jwks_url="https://k",
        algorithms=("PS512",),
        tenant_claim=("org", "id"),
        user_claim="oid",
        role_claim="groups",
        roles={"ops": "operator"},
        scopes_claim="scope",
        leeway_s=7.0,
        max_lifetime_s=60.0,
    )
    expected = TokenPolicy(
        issuer="i",
        audience="a",
        algorithms=frozenset({"PS512"}),
        tenant_claim=("org", "id"),
        user_claim=("oid",),
        role_claim=("groups",),
        roles={"ops": Role.OPERATOR},
        scopes_claim=("scope",),
        leeway_s=7.0,
        max_lifetime_s=60.0,
    )
    assert token_policy(settings) == expected
    assert {field.name for field in fields(TokenPolicy)} <= settings.model_fields_set


def test_the_settings_say_what_the_code_does() -> None:
    """What an operator leaves out is what the policies have themselves; the algorithms are the same list."""
    settings = JwtSettings.model_validate(PROVIDER)
    assert token_policy(settings) == TokenPolicy(issuer=ISSUER, audience=AUDIENCE)
    for name in (field.name for field in fields(KeyTimes)):
        assert getattr(settings, f"keys_{name}") == getattr(KeyTimes(), name), name
    everything = JwtSettings.model_validate({**PROVIDER, "algorithms": sorted(ALGORITHMS)})
    assert token_policy(everything).algorithms == ALGORITHMS
    every_role = JwtSettings.model_validate({**PROVIDER, "role_claim": "r", "roles": {role: role for role in Role}})
    assert set(token_policy(every_role).roles.values()) == set(Role)
    assert SecuritySettings().jwt is None
