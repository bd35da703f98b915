"""Who is recognised, as the settings have it: API keys, and the tokens of an identity provider where there is one."""

import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from uuid_utils.compat import uuid7

from configs.section import EnvRef
from configs.security import JwtSettings, SecuritySettings
from deployments.http.access import Authenticator as Recognises
from deployments.identity import Identity
from services.security.audit import AuditTrail
from services.security.authenticator import Authenticator
from services.security.key_source import HttpKeySet, KeySource, KeyTimes
from services.security.keys import ApiKeyStore
from services.security.permissions import Role
from services.security.refusals import RefusalLog, Watch
from services.security.token_authenticator import KeyOrToken, TokenAuthenticator
from services.security.tokens import Claim, TokenPolicy
from services.security.watch import SecurityWatch
from services.telemetry.metrics import KEY_SET_FETCHES, Meter


def open_identity(settings: SecuritySettings, store: ApiKeyStore, trail: AuditTrail, meter: Meter) -> Identity:
    """Return who recognises people, on the running loop. Raises SettingsError and ConfigurationError.

    Nothing is fetched yet: a provider that is away keeps nobody out who has a key.
    """
    now = partial(datetime.now, UTC)
    watch = SecurityWatch(trail, RefusalLog(time.monotonic), meter, new_id=uuid7, now=now)
    authenticator, close = _recognition(settings, store, watch, meter)
    watch.start()

    async def aclose() -> None:
        await watch.aclose()
        await close()

    return Identity(authenticator=authenticator, watch=watch, aclose=aclose)


def _recognition(
    settings: SecuritySettings, store: ApiKeyStore, watch: Watch, meter: Meter
) -> tuple[Recognises, Callable[[], Awaitable[None]]]:
    pepper, now = settings.key_pepper.resolve(os.environ), partial(datetime.now, UTC)
    keys = Authenticator(store, pepper, watch, cache_s=settings.key_cache_s, clock=time.monotonic, now=now)
    if settings.jwt is None:
        return keys, _nothing
    jwt, policy = settings.jwt, token_policy(settings.jwt)
    key_set = HttpKeySet(_resolved(jwt.jwks_url), timeout_s=jwt.keys_timeout_s, allow_http=jwt.allow_http)
    source = KeySource(
        key_set,
        KeyTimes(ttl_s=jwt.keys_ttl_s, cooldown_s=jwt.keys_cooldown_s, stale_s=jwt.keys_stale_s),
        clock=time.monotonic,
        reported=lambda outcome: meter.record(KEY_SET_FETCHES, 1, {"outcome": outcome}),
    )
    tokens = TokenAuthenticator(source, policy, watch, clock=time.monotonic, now=now)

    async def aclose() -> None:
        await source.aclose()
        await key_set.aclose()

    return KeyOrToken(keys, tokens), aclose


def token_policy(settings: JwtSettings) -> TokenPolicy:
    """Return what the settings ask of a token. Raises SettingsError for a variable that is not set, and ConfigurationError."""
    return TokenPolicy(
        issuer=_resolved(settings.issuer),
        audience=_resolved(settings.audience),
        algorithms=frozenset(settings.algorithms),
        tenant_claim=_claim(settings.tenant_claim),
        user_claim=_claim(settings.user_claim),
        role_claim=None if settings.role_claim is None else _claim(settings.role_claim),
        roles={value: Role(role) for value, role in settings.roles.items()},
        scopes_claim=None if settings.scopes_claim is None else _claim(settings.scopes_claim),
        leeway_s=settings.leeway_s,
        max_lifetime_s=settings.max_lifetime_s,
    )


def _claim(setting: str | tuple[str, ...]) -> Claim:
    return (setting,) if isinstance(setting, str) else setting


def _resolved(setting: str | EnvRef) -> str:
    return setting if isinstance(setting, str) else setting.resolve(os.environ)


async def _nothing() -> None:
    """Keys need nothing to be closed: the database is somebody else's."""
