"""Fixtures that more than one folder needs: one embedded Postgres per process, one empty database per test.

And which process runs which test, where there are several of them (`pytest -n 2`).
"""

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from deployments.launch.postgres import EmbeddedPostgres
from services.storage import migrate

CLUSTERS = ("tests/e2e/", "tests/deployments/launch/test_serve.py")
"""Where tests start Ray clusters: these are never at work at once, and each is shared by many tests."""

AMONG_SEVERAL = "PYTEST_XDIST_WORKER" in os.environ
"""This process is one of those that share the tests."""


class FilesScheduling(LoadScopeScheduling):
    """Gives each file to one process, and all that start clusters to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return "clusters" if nodeid.startswith(CLUSTERS) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesScheduling:
    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return FilesScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Among several processes the clusters' tests are given out first: what takes longest must not begin last."""
    for item in items:
        if item.get_closest_marker("ray") and not item.nodeid.startswith(CLUSTERS):
            raise pytest.UsageError(f"{item.nodeid} starts a cluster: name its file in CLUSTERS of tests/conftest.py")
    if AMONG_SEVERAL:
        items.sort(key=lambda item: not item.nodeid.startswith(CLUSTERS))


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
