"""From an access token of the operator's identity provider (a JWT, RFC 7519 and 9068) to the principal whom it names.

Nothing here waits, fetches or remembers. Of a token's header two words are looked at, `kid` and `alg`, and both only choose
among keys that are already here. Where a header says that its key is to be found (`jku`, `x5u`, `jwk`, `x5c`) is not read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

import jwt

from services.errors import ConfigurationError, InvalidRequest
from services.security.audit import OPERATIONS
from services.security.key_keeping import check_name
from services.security.permissions import GRANTS, Permission, Role
from services.security.refusals import Reason
from services.security.signing_keys import ALGORITHMS, PublicKey
from services.types import Principal

MAX_TOKEN_CHARS = 8_192
MAX_TIME_S = 253_402_300_800.0
"""The end of the year 9999 in Unix time: later than that is no time."""

Claim = tuple[str, ...]
"""A claim's name, or the way to it through nested objects."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_REGISTERED = ("exp", "iat", "iss", "aud", "sub")
_REASONS: Mapping[type[jwt.PyJWTError], Reason] = MappingProxyType(
    {
        jwt.InvalidSignatureError: Reason.TOKEN_SIGNATURE,
        jwt.InvalidIssuerError: Reason.TOKEN_ISSUER,
        jwt.InvalidAudienceError: Reason.TOKEN_AUDIENCE,
        jwt.DecodeError: Reason.TOKEN_UNREADABLE,
    }
)


class TokenRefused(Exception):
    """A token that opens nothing, and why. It never holds anything of the token."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPolicy:
    """Whose tokens are taken, and what they are good for. Raises ConfigurationError for what would take any.

    A value of `role_claim` gives the role that `roles` has for it, several give what all of them may, and none of them, or no
    claim, that of a user. With `scopes_claim` a token is good for those permissions alone that stand there. `leeway_s` is how
    far the two clocks may be apart, and `max_lifetime_s` how long a token may last from when it was issued.
    """

    issuer: str
    audience: str
    algorithms: frozenset[str] = frozenset({"RS256", "ES256", "EdDSA"})
    tenant_claim: Claim = ("tenant",)
    user_claim: Claim = ("sub",)
    role_claim: Claim | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)
    scopes_claim: Claim | None = None
    leeway_s: float = 30.0
    max_lifetime_s: float = 86_400.0

    def __post_init__(self) -> None:
        if not self.issuer or not self.audience:
            raise ConfigurationError("security.jwt needs an issuer and an audience, which tokens must name.")
        if not self.algorithms or not self.algorithms <= ALGORITHMS:
            raise ConfigurationError(f"security.jwt.algorithms must be from these: {', '.join(sorted(ALGORITHMS))}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHead:
    """What a token says of how it was signed, which is not known to be true."""

    kid: str
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """Whom a token names, and until when, in Unix time with the leeway in it."""

    principal: Principal
    ends_at: float


def is_token(presented: str) -> bool:
    """Whether this has the form of a signed token, which no API key has."""
    return len(presented) <= MAX_TOKEN_CHARS and _TOKEN.fullmatch(presented) is not None


def head_of(token: str, policy: TokenPolicy) -> TokenHead:
    """Return which key a token says it was signed with. Raises TokenRefused."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise TokenRefused(Reason.TOKEN_UNREADABLE) from None
    kid, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in policy.algorithms:
        raise TokenRefused(Reason.TOKEN_ALGORITHM)
    if not isinstance(kid, str):
        raise TokenRefused(Reason.TOKEN_SIGNER_UNKNOWN)
    return TokenHead(kid=kid, algorithm=algorithm)


def verified(token: str, head: TokenHead, key: PublicKey, policy: TokenPolicy, now: datetime) -> VerifiedToken:
    """Return whom the token names. `key` is the one that is known by the token's head. Raises TokenRefused."""
    claims = _signed_claims(token, head, key, policy)
    ends_at = _end(claims, policy, now.timestamp())
    tenant_id, user_id = (_name(claims, claim) for claim in (policy.tenant_claim, policy.user_claim))
    if user_id == OPERATIONS:
        raise TokenRefused(Reason.TOKEN_CLAIMS)
    principal = Principal(tenant_id=tenant_id, user_id=user_id, permissions=_permissions(claims, policy))
    return VerifiedToken(principal=principal, ends_at=ends_at)


def _signed_claims(token: str, head: TokenHead, key: PublicKey, policy: TokenPolicy) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[head.algorithm],  # one that the policy has, and that the key is bound to
            issuer=policy.issuer,
            audience=policy.audience,
            options={
                "require": [*_REGISTERED],
                "enforce_minimum_key_length": True,
                # Times are looked at below, by a clock that is handed in.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError as error:
        raise TokenRefused(_REASONS.get(type(error), Reason.TOKEN_CLAIMS)) from None


def _end(claims: Mapping[str, Any], policy: TokenPolicy, now: float) -> float:
    expires, issued = _time(claims["exp"]), _time(claims["iat"])
    begins = max(issued, _time(claims.get("nbf", issued)))
    if expires - issued > policy.max_lifetime_s:
        raise TokenRefused(Reason.TOKEN_LIFETIME)
    if begins > now + policy.leeway_s:
        raise TokenRefused(Reason.TOKEN_EARLY)
    if now >= expires + policy.leeway_s:
        raise TokenRefused(Reason.TOKEN_EXPIRED)
    return expires + policy.leeway_s


def _time(value: object) -> float:
    # The comparison also ends NaN, infinity, and integers that no float has room for.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_TIME_S:
        raise TokenRefused(Reason.TOKEN_CLAIMS)
    return float(value)


def _name(claims: Mapping[str, Any], claim: Claim) -> str:
    value = _at(claims, claim)
    if not isinstance(value, str):
        raise TokenRefused(Reason.TOKEN_CLAIMS)
    try:
        check_name(value, claim[-1])
    except InvalidRequest:
        raise TokenRefused(Reason.TOKEN_CLAIMS) from None
    return value


def _permissions(claims: Mapping[str, Any], policy: TokenPolicy) -> frozenset[Permission]:
    named = () if policy.role_claim is None else _words(_at(claims, policy.role_claim))
    roles = {policy.roles[name] for name in named if name in policy.roles} or {Role.USER}
    granted = frozenset[Permission]().union(*(GRANTS[role] for role in roles))
    if policy.scopes_claim is None:
        return granted
    scopes = _words(_at(claims, policy.scopes_claim))
    return frozenset(permission for permission in granted if permission in scopes)


def _at(claims: Mapping[str, Any], claim: Claim) -> object:
    found: object = claims
    for name in claim:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _words(value: object) -> frozenset[str]:
    """Return what a claim lists: as an array of strings, or as one string with spaces between (RFC 8693, 4.2)."""
    if isinstance(value, str):
        return frozenset({value, *value.split(" ")})
    return frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()
