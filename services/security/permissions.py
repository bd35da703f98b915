"""What a key may be used for: its role says what at most, and its scopes, where it has any, narrow that."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from services.errors import InvalidRequest


class Permission(StrEnum):
    """Each route asks for one of these. All of them end at the key's tenant, and the first three at its user."""

    RUNS_READ = "runs:read"
    """Look at one's own threads, messages, runs with what was made of them, and memories, and at the models."""
    RUNS_WRITE = "runs:write"
    """Begin, resume, cancel and rate runs."""
    DATA_ERASE = "data:erase"
    """Erase one's own threads and memories."""
    AUDIT_READ = "audit:read"
    """Read what was done in the tenant that security is about."""
    USAGE_READ = "usage:read"
    """Read what all users of the tenant have spent."""
    SCORES_READ = "scores:read"
    """Read what judges make of the tenant's answers on average."""
    KEYS_MANAGE = "keys:manage"
    """Make, list, rotate and revoke the tenant's keys."""


class Role(StrEnum):
    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


_USER = frozenset({Permission.RUNS_READ, Permission.RUNS_WRITE, Permission.DATA_ERASE})

GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.USER: _USER,
    Role.OPERATOR: _USER | {Permission.AUDIT_READ, Permission.USAGE_READ, Permission.SCORES_READ},
    Role.ADMIN: frozenset(Permission),
}


def role_of(name: str) -> Role:
    """Return a role by its name. Raises InvalidRequest where there is none of it."""
    if name not in set(Role):
        raise InvalidRequest(f"There is no such role. Choose one of: {', '.join(Role)}.", param="role")
    return Role(name)


def permissions_of(role: Role, scopes: Collection[str]) -> frozenset[Permission]:
    """Return what a key of this role with these scopes may be used for: without scopes, all that its role may."""
    return GRANTS[role].intersection(scopes) if scopes else GRANTS[role]


def scopes_of(role: Role, names: Collection[str]) -> frozenset[Permission]:
    """Return scopes by their names. Raises InvalidRequest for one that means nothing, or nothing to this role."""
    if not GRANTS[role].issuperset(names):
        choice = ", ".join(permission for permission in Permission if permission in GRANTS[role])
        raise InvalidRequest(f"A key of the role {role} has scopes from these: {choice}.", param="scopes")
    return frozenset(map(Permission, names))
