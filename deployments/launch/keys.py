"""The command `key`: make, list, rotate and revoke a tenant's keys, with the database's password for permission."""

import argparse

from deployments.launch.console import Console
from deployments.launch.database import USER, key_keeping, operations
from services.errors import InvalidRequest
from services.security.key_keeping import KeyKeeping, KeyRequest, check_name
from services.security.keys import ApiKey
from services.security.permissions import Role

LISTED = 100
GRACE_S = 3_600.0
_DAY_S = 86_400.0


async def keep(arguments: argparse.Namespace, url: str, pepper: str, console: Console) -> None:
    """Do what the arguments say. Raises InvalidRequest, NotFound, SchemaMismatch and StoreUnavailable."""
    check_name(arguments.tenant, "tenant")
    _refuse_idle_options(arguments)
    asking = operations(arguments.tenant)
    async with key_keeping(url, pepper) as keys:
        if arguments.list:
            await _list(keys, arguments.tenant, console)
        elif arguments.revoke is not None:
            await keys.revoke(asking, arguments.revoke)
            console.say("Revoked. A replica that knows it may accept it for security.key_cache_s more.")
        elif arguments.rotate is not None:
            grace_s = GRACE_S if arguments.grace_s is None else arguments.grace_s
            made = await keys.rotate(asking, arguments.rotate, grace_s=grace_s)
            console.say(f"The old key goes on for {grace_s:g} s at most. The new one, shown this once:")
            console.show(made.plaintext)
        else:
            request = KeyRequest(
                user_id=USER if arguments.user is None else arguments.user,
                role=Role(arguments.role or Role.USER),
                scopes=tuple(arguments.scope),
                expires_in_s=None if arguments.days is None else arguments.days * _DAY_S,
            )
            made = await keys.create(asking, request)
            console.say(f"A key for {request.user_id} of tenant {arguments.tenant}, shown this once:")
            console.show(made.plaintext)


def _refuse_idle_options(arguments: argparse.Namespace) -> None:
    """An option that would do nothing was typed for something: raise InvalidRequest."""
    makes = not (arguments.list or arguments.rotate or arguments.revoke)
    of_new_keys = ("user", "role", "scope", "days")
    idle = [name for name in of_new_keys if getattr(arguments, name) not in (None, []) and not makes]
    if arguments.grace_s is not None and arguments.rotate is None:
        idle.append("grace-s")
    if idle:
        raise InvalidRequest(f"--{idle[0]} does nothing here: leave it out.")


async def _list(keys: KeyKeeping, tenant: str, console: Console) -> None:
    found = await keys.list(operations(tenant), limit=LISTED)
    for key in found:
        console.show(_line(key))
    if not found:
        console.say(f"Tenant {tenant} has no keys.")


def _line(key: ApiKey) -> str:
    ends = "for good" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M}"
    scopes = " ".join(sorted(key.scopes)) or "all"
    return f"{key.id}  {key.prefix}...  {key.user_id}  {key.role} ({scopes})  {'revoked' if key.revoked_at else ends}"
