"""The database of one launch: whose it is, its schema, and its first API key."""

from collections.abc import Mapping
from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from deployments.launch.errors import LaunchFailed
from deployments.launch.options import Options
from deployments.launch.postgres import running_server, url_of
from services.security.keys import create_key
from services.storage import migrate
from services.storage.api_keys import ApiKeyRepository
from services.storage.database import Database

TENANT = "default"
USER = "local"
_PEPPER_FILE = "key-pepper"


async def first_key(url: str, pepper: str) -> str | None:
    """Return an API key when there was none; it cannot be had again, so ask only when it can be shown."""
    database = Database.open(url, pool_size=1, application_name="mainstay-launch")
    try:
        store = ApiKeyRepository(database)
        if await store.list(TENANT):
            return None
        return await _create(store, pepper, TENANT, USER)
    finally:
        await database.close()


async def add_key(url: str, pepper: str, *, tenant_id: str, user_id: str) -> str:
    """Make one more API key and return it. Raises SchemaMismatch on a database that was never migrated."""
    database = Database.open(url, pool_size=1, application_name="mainstay-key")
    try:
        await migrate.require_head(database)
        return await _create(ApiKeyRepository(database), pepper, tenant_id, user_id)
    finally:
        await database.close()


def existing_url(options: Options, environ: Mapping[str, str]) -> str:
    """Return DATABASE_URL, or the embedded database of a running launcher. Raises LaunchFailed when there is neither."""
    if url := environ.get("DATABASE_URL"):
        return url
    if (running := running_server(options.postgres_dir)) is not None:
        return url_of(running[1])
    raise LaunchFailed(
        "there is no database", "set DATABASE_URL, or start the embedded one with `make serve` in another terminal"
    )


def pepper_of(options: Options, environ: Mapping[str, str]) -> str:
    """Return the pepper under which keys are stored: MAINSTAY_KEY_PEPPER, else this installation's own."""
    return environ.get("MAINSTAY_KEY_PEPPER") or options.secret(_PEPPER_FILE)


def known_pepper(options: Options, environ: Mapping[str, str]) -> str:
    """Return the pepper, but make none up: a key under another pepper than the replicas' would open nothing."""
    if not environ.get("MAINSTAY_KEY_PEPPER") and not (options.home / _PEPPER_FILE).exists():
        raise LaunchFailed("MAINSTAY_KEY_PEPPER is not set", "set it to the value that the replicas have")
    return pepper_of(options, environ)


async def _create(store: ApiKeyRepository, pepper: str, tenant_id: str, user_id: str) -> str:
    _, plaintext = await create_key(
        store, pepper, tenant_id=tenant_id, user_id=user_id, new_id=uuid7, now=datetime.now(UTC)
    )
    return plaintext
