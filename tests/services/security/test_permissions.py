"""Roles and scopes: each role may what the one below it may, and scopes only ever take away."""

import pytest

from services.errors import InvalidRequest
from services.security.permissions import GRANTS, Permission, Role, permissions_of, role_of, scopes_of


def test_each_role_may_more_than_the_one_below() -> None:
    assert GRANTS[Role.USER] < GRANTS[Role.OPERATOR] < GRANTS[Role.ADMIN] == set(Permission)


def test_scopes_narrow_a_role_and_never_widen_it() -> None:
    """Without scopes a key has all of its role; a scope that its role lacks gives nothing."""
    assert permissions_of(Role.USER, ()) == GRANTS[Role.USER]
    assert permissions_of(Role.USER, ["runs:read"]) == {Permission.RUNS_READ}
    assert permissions_of(Role.USER, ["keys:manage"]) == frozenset()
    assert permissions_of(Role.ADMIN, ["keys:manage", "no:such"]) == {Permission.KEYS_MANAGE}


def test_what_means_nothing_is_refused_and_the_choice_is_named() -> None:
    assert scopes_of(Role.USER, ["runs:read"]) == {Permission.RUNS_READ}
    assert scopes_of(Role.USER, []) == frozenset()
    for names in (["runs:read", "runs"], ["keys:manage"]):
        with pytest.raises(InvalidRequest, match="runs:read, runs:write, data:erase") as caught:
            scopes_of(Role.USER, names)
        assert caught.value.param == "scopes"
    assert role_of("admin") is Role.ADMIN
    with pytest.raises(InvalidRequest, match="user, operator, admin"):
        role_of("root")
