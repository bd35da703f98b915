"""The database of one launch: whose it is, its schema, and its first API key."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from uuid_utils.compat import uuid7

from deployments.launch.errors import LaunchFailed
from deployments.launch.options import Options
from deployments.launch.postgres import running_server, url_of
from services.security.audit import OPERATIONS
from services.security.key_keeping import KeyKeeping, KeyRequest
from services.security.permissions import Permission, Role
from services.security.refusals import UNWATCHED
from services.storage import migrate
from services.storage.api_keys import ApiKeyRepository
from services.storage.database import Database
from services.types import Principal

TENANT = "default"
USER = "local"
_PEPPER_FILE = "key-pepper"


async def first_key(url: str, pepper: str) -> str | None:
    """Return a key of an administrator when there was none; it cannot be had again, so ask only when it can be shown."""
    database = Database.open(url, pool_size=1, application_name="mainstay-launch")
    try:
        keys = _keys(database, pepper)
        if await keys.list(operations(TENANT), limit=1):
            return None
        return (await keys.create(operations(TENANT), KeyRequest(user_id=USER, role=Role.ADMIN))).plaintext
    finally:
        await database.close()


@asynccontextmanager
async def key_keeping(url: str, pepper: str) -> AsyncIterator[KeyKeeping]:
    """Keep the keys of a database. Raises SchemaMismatch on one that has not this code's schema."""
    database = Database.open(url, pool_size=1, application_name="mainstay-key")
    try:
        await migrate.require_head(database)
        yield _keys(database, pepper)
    finally:
        await database.close()


def operations(tenant_id: str) -> Principal:
    """Who gives commands here: the database's password permits everything."""
    return Principal(tenant_id=tenant_id, user_id=OPERATIONS, permissions=frozenset(Permission))


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


def _keys(database: Database, pepper: str) -> KeyKeeping:
    return KeyKeeping(ApiKeyRepository(database), pepper, UNWATCHED, new_id=uuid7, now=partial(datetime.now, UTC))
