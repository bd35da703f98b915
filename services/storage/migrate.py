"""Bring a database to the revision this code needs, from a program or from `make migrate`, from any folder.

Revisions are Alembic's, in `migrations/versions`. Replicas never migrate: they check with `require_head` and stop.
"""

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.errors import SchemaMismatch
from services.storage.database import Database, connect_to, normalise, translated

_LOCK = 0x6D61696E73746179  # "mainstay": one number for the whole server, so all who migrate must agree on it
_VERSION = "SELECT version_num FROM alembic_version"


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to the newest revision, or to an earlier one, making every table where there is none.

    Several callers may do so at once: one works, the others wait for it and find nothing left to do. Raises
    StoreUnavailable and ConfigurationError. A revision may take as long as it needs.
    """
    dsn = normalise(url)

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await connect_to(dsn, command_timeout_s=None, application_name="mainstay-migrate")

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    with translated():
        guard = await connect()
        try:
            await guard.execute("SELECT pg_advisory_lock($1)", _LOCK)  # held until `guard` closes, even if we die
            async with engine.connect() as connection:
                await connection.run_sync(_upgrade, revision)
        finally:
            await guard.close()


async def current(url: str) -> str | None:
    """Return the revision of the database, None where it was never migrated. Raises StoreUnavailable."""
    with translated():
        connection = await connect_to(normalise(url), command_timeout_s=10.0, application_name="mainstay-migrate")
        try:
            return await _revision(connection)
        finally:
            await connection.close()


async def require_head(database: Database) -> None:
    """Raise SchemaMismatch unless the database is at the revision of this code."""
    async with database.raw() as connection:
        found = await _revision(connection)
    expected = head()
    if found != expected:
        state = "holds no tables" if found is None else f"is at revision {found}"
        raise SchemaMismatch(f"The database {state}, this code needs revision {expected}: run `make migrate`.")


def head() -> str:
    """Return the newest revision that this code knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise FileNotFoundError("there are no revisions in services/storage/migrations/versions")
    return revision


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def _revision(connection: "asyncpg.Connection[asyncpg.Record]") -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval(_VERSION)
    return revision
