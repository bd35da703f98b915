"""The command `key`: make, list, rotate and revoke a tenant's keys, with the database's password for permission."""

import argparse

from deployments.launch.console import Console
from deployments.launch.database import key_keeping, operations
from services.security.key_keeping import KeyKeeping, KeyRequest
from services.security.keys import ApiKey
from services.security.permissions import Role

LISTED = 100
_DAY_S = 86_400.0


async def keep(arguments: argparse.Namespace, url: str, pepper: str, console: Console) -> None:
    """Do what the arguments say. Raises NotFound, SchemaMismatch and StoreUnavailable."""
    asking = operations(arguments.tenant)
    async with key_keeping(url, pepper) as keys:
        if arguments.list:
            await _list(keys, arguments.tenant, console)
        elif arguments.revoke is not None:
            await keys.revoke(asking, arguments.revoke)
            console.say("Revoked. A replica that knows it may accept it for security.key_cache_s more.")
        elif arguments.rotate is not None:
            made = await keys.rotate(asking, arguments.rotate, grace_s=arguments.grace_s)
            console.say(f"The old key is accepted for {arguments.grace_s:g} s more. The new one, shown this once:")
            console.show(made.plaintext)
        else:
            request = KeyRequest(
                user_id=arguments.user,
                role=Role(arguments.role),
                scopes=tuple(arguments.scope),
                expires_in_s=None if arguments.days is None else arguments.days * _DAY_S,
            )
            made = await keys.create(asking, request)
            console.say(f"A key for {arguments.user} of tenant {arguments.tenant}, shown this once:")
            console.show(made.plaintext)


async def _list(keys: KeyKeeping, tenant: str, console: Console) -> None:
    found = await keys.list(operations(tenant), limit=LISTED)
    for key in found:
        console.show(_line(key))
    if not found:
        console.say(f"Tenant {tenant} has no keys.")


def _line(key: ApiKey) -> str:
    ends = "for good" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M}"
    scopes = " ".join(sorted(key.scopes)) or "all"
    return (
        f"{key.id}  ms_{key.lookup}...  {key.user_id}  {key.role} ({scopes})  {'revoked' if key.revoked_at else ends}"
    )
