"""Fixtures that more than one folder needs: one embedded Postgres per session, one empty database per test."""

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from deployments.launch.postgres import EmbeddedPostgres
from services.storage import migrate


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a Postgres that lives as long as the test session. It never syncs to disk: only tests may do so."""
    with tempfile.TemporaryDirectory(prefix="mainstay-pg-") as folder:
        home = Path(folder)
        home.chmod(0o711)  # root's server runs as another user, which must be able to pass
        server = EmbeddedPostgres(data_dir=home / "data", settings={"fsync": "off", "max_connections": "200"})
        try:
            yield server.start()
        finally:
            server.stop()


@pytest.fixture
async def fresh_database_url(postgres_url: str) -> AsyncIterator[str]:
    """The URL of an empty database that only this test uses; dropped afterwards, open connections included."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(postgres_url, f"CREATE DATABASE {name}")
    yield _in_database(postgres_url, name)
    await _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """The name of a migrated database that others are copied from; nobody may stay connected to it."""
    name = "migrated_template"
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name}"))
    asyncio.run(migrate.upgrade(_in_database(postgres_url, name)))
    return name


@pytest.fixture
async def migrated_database_url(postgres_url: str, migrated_template: str) -> AsyncIterator[str]:
    """The URL of a database with all tables and no rows that only this test uses; dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    yield _in_database(postgres_url, name)
    await _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def _in_database(url: str, name: str) -> str:
    return url.replace("/postgres?", f"/{name}?")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
