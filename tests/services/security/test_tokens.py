"""Tokens of an identity provider: whom one names, and everything that makes one worth nothing."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from jwt.algorithms import ECAlgorithm

from services.errors import ConfigurationError
from services.security.permissions import GRANTS, Permission, Role
from services.security.refusals import Reason
from services.security.signing_keys import signing_keys
from services.security.tokens import (
    MAX_TOKEN_CHARS,
    TokenPolicy,
    TokenRefused,
    VerifiedToken,
    head_of,
    is_token,
    verified,
)
from services.types import Principal
from tests.services.security.issuer import (
    ALGORITHM_OF,
    AUDIENCE,
    FORGED,
    ISSUER,
    NOW,
    POLICY,
    START,
    claims,
    forged,
    key_set,
    private_key,
    token,
)


def read(presented: str, policy: TokenPolicy = POLICY, after_s: float = 0.0) -> VerifiedToken:
    """What is made of a token by whoever has the provider's keys."""
    head = head_of(presented, policy)
    key = signing_keys(key_set()).get((head.kid, head.algorithm))
    if key is None:
        raise TokenRefused(Reason.TOKEN_SIGNER_UNKNOWN)
    return verified(presented, head, key, policy, START + timedelta(seconds=after_s))


def permissions(policy: TokenPolicy = POLICY, **said: Any) -> frozenset[Permission]:
    return read(token(**said), policy).principal.permissions


@pytest.mark.parametrize("kid", ALGORITHM_OF)
def test_a_token_names_its_principal(kid: str) -> None:
    """Tenant and user are its claims, and it is a user's who has no key."""
    expected = Principal(tenant_id="acme", user_id="ada", permissions=GRANTS[Role.USER])
    assert read(token(kid)) == VerifiedToken(principal=expected, ends_at=NOW + 630)


@pytest.mark.parametrize(("make", "reason"), FORGED.values(), ids=FORGED)
def test_what_is_refused(make: Any, reason: Reason) -> None:
    """One reason each, which says nothing that the token said."""
    with pytest.raises(TokenRefused) as caught:
        read(make())
    assert caught.value.reason is reason
    assert str(caught.value) == str(reason)


def test_several_audiences_are_taken_with_ours_among_them() -> None:
    """An array that has it is as good as the name alone."""
    assert read(token(aud=["account", AUDIENCE])).principal.user_id == "ada"


def test_the_leeway_is_all_that_clocks_may_differ() -> None:
    """At both ends: to the second before it is over, and from the second on when it begins."""
    assert read(token(), after_s=629.9).ends_at == NOW + 630
    with pytest.raises(TokenRefused, match="token_expired"):
        read(token(), after_s=630.0)
    late = token(nbf=int(NOW) + 100)
    assert read(late, after_s=70.0).ends_at == NOW + 630
    with pytest.raises(TokenRefused, match="token_early"):
        read(late, after_s=69.9)
    assert read(token(exp=int(NOW) + 86_400)).ends_at == NOW + 86_430


def test_roles_are_what_the_operator_says_they_are() -> None:
    """Several roles add up, others are nobody's, and no word of ours in a token is a role."""
    assert permissions(realm_access={"roles": ["mainstay-operators", "offline_access"]}) == GRANTS[Role.OPERATOR]
    assert permissions(realm_access={"roles": ["mainstay-operators", "mainstay-admins"]}) == GRANTS[Role.ADMIN]
    assert permissions(realm_access={"roles": "mainstay-admins"}) == GRANTS[Role.ADMIN]
    for said in (
        {"roles": ["admin", "Mainstay-Admins"]},
        {"roles": [["mainstay-admins"]]},
        ["mainstay-admins"],
        "admin",
    ):
        assert permissions(realm_access=said, role="admin", scope="keys:manage") == GRANTS[Role.USER]
    assert (
        permissions(replace(POLICY, role_claim=None), realm_access={"roles": ["mainstay-admins"]}) == GRANTS[Role.USER]
    )


def test_a_claim_with_dots_in_its_name_is_one_claim() -> None:
    """As in the namespaces of some providers; a way through objects is written as one."""
    policy = replace(POLICY, role_claim=("https://example.com/roles",))
    assert permissions(policy, **{"https://example.com/roles": ["mainstay-admins"]}) == GRANTS[Role.ADMIN]


def test_scopes_narrow_what_the_role_has() -> None:
    """Words with spaces between, or an array. They give nothing that the role has not; without the claim nothing is left."""
    policy = replace(POLICY, scopes_claim=("scope",))
    assert permissions(policy, scope="openid runs:read") == {Permission.RUNS_READ}
    assert permissions(policy, scope=["runs:write", 7]) == {Permission.RUNS_WRITE}
    assert permissions(policy, scope="runs:read keys:manage") == {Permission.RUNS_READ}
    assert permissions(policy) == frozenset()


def test_tenant_and_user_may_be_other_claims() -> None:
    """As the operator's provider has them."""
    policy = replace(POLICY, tenant_claim=("org", "id"), user_claim=("oid",))
    principal = read(token(org={"id": "umbrella"}, oid="u-7"), policy).principal
    assert (principal.tenant_id, principal.user_id) == ("umbrella", "u-7")
    with pytest.raises(TokenRefused, match="token_claims"):
        read(token(org={"id": "umbrella"}, oid="u-7", sub=None), policy)


def test_what_has_the_form_of_a_token() -> None:
    """Three parts in base64url: no key, nothing with spaces or line breaks, nothing that is longer than tokens should be."""
    assert is_token(token())
    assert is_token("a.b.")
    shapes = ["", "a.b", "a.b.c.d", "a..c", ".b.c", "a.b.c\n", "a.b.c=", "ä.b.c", "a b.c.d", "ms_" + "a" * 55]
    assert not any(map(is_token, shapes))
    longest = "a.b." + "c" * (MAX_TOKEN_CHARS - 4)
    assert is_token(longest)
    assert not is_token(longest + "c")


def test_claims_without_an_end_are_refused_though_they_are_signed() -> None:
    """The parser gives up before Python's stack does."""
    deep = jwt.PyJWS().encode(b"[" * 3_000, private_key("ec"), "ES256", {"kid": "ec"})
    with pytest.raises(TokenRefused, match="token_unreadable"):
        read(deep)


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithms": frozenset()},
        {"algorithms": frozenset({"RS256", "HS256"})},
        {"algorithms": frozenset({"none"})},
        {"issuer": ""},
        {"audience": ""},
    ],
    ids=["no algorithm", "a shared secret among the algorithms", "unsigned", "no issuer", "no audience"],
)
def test_a_policy_that_would_take_anything_is_none(changes: Any) -> None:
    """No algorithm, one with a shared secret, `none`, no issuer, no audience."""
    with pytest.raises(ConfigurationError, match=r"security\.jwt"):
        replace(POLICY, **changes)


def test_the_forger_writes_good_tokens_too() -> None:
    """So what is refused above is refused for what is wrong with it, not for how it was made."""
    by_hand = forged(
        {"alg": "ES256", "kid": "ec"},
        claims(),
        lambda signed: ECAlgorithm(ECAlgorithm.SHA256).sign(signed, private_key("ec")),
    )
    assert read(by_hand).principal.user_id == "ada"
    assert json.loads(key_set())["keys"][0]["kid"] == "rsa"
    assert ISSUER in claims()["iss"]
