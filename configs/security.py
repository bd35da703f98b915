"""The settings of who is let in."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.section import EnvRef, PositiveSeconds, Section

Text = Annotated[str, Field(min_length=1, max_length=2_048)]
Claim = Text | Annotated[tuple[Text, ...], Field(min_length=1, max_length=8)]
"""A claim's name, or the way to it through nested objects: [realm_access, roles]."""


class JwtSettings(Section):
    """The identity provider whose access tokens are taken as well as API keys. docs/http.md says what one must have."""

    issuer: Text | EnvRef
    audience: Text | EnvRef
    jwks_url: Text | EnvRef = Field(description="where its public keys are")
    allow_http: bool = Field(
        default=False, description="whether that may be http, for an address that nobody else hears"
    )
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"], ...
    ] = Field(default=("RS256", "ES256", "EdDSA"), min_length=1)
    tenant_claim: Claim = "tenant"
    user_claim: Claim = "sub"
    role_claim: Claim | None = None
    roles: Mapping[str, Literal["user", "operator", "admin"]] = Field(
        default_factory=dict, description="by a value of role_claim; whoever has none of them is a user"
    )
    scopes_claim: Claim | None = Field(default=None, description="where set, a token has only the permissions in it")
    leeway_s: float = Field(default=30.0, ge=0, le=300, description="how far the two clocks may be apart")
    max_lifetime_s: PositiveSeconds = Field(default=86_400.0, description="from iat to exp of a token")
    keys_ttl_s: PositiveSeconds = Field(default=300.0, description="how long a withdrawn key may still be accepted")
    keys_cooldown_s: PositiveSeconds = Field(default=10.0, description="between two fetches, whatever tokens say")
    keys_stale_s: float = Field(
        default=3_600.0, ge=0, le=7 * 86_400, description="beyond keys_ttl_s while the provider is away"
    )
    keys_timeout_s: float = Field(default=5.0, gt=0, le=60)

    @model_validator(mode="after")
    def _holds_together(self) -> "JwtSettings":
        if self.roles and self.role_claim is None:
            raise ValueError("roles needs role_claim: the claim whose values they are by")
        if self.keys_cooldown_s > self.keys_ttl_s:
            raise ValueError("keys_cooldown_s must not be longer than keys_ttl_s")
        if isinstance(self.jwks_url, str) and not self.allow_http and not self.jwks_url.startswith("https://"):
            raise ValueError("jwks_url must begin with https://")
        return self


class SecuritySettings(Section):
    key_pepper: EnvRef = EnvRef(env="MAINSTAY_KEY_PEPPER")
    key_cache_s: float = Field(default=15.0, ge=0, le=300, description="how long a revoked key may still be accepted")
    jwt: JwtSettings | None = None
