"""A database with all tables, and values to put into it."""

from collections.abc import AsyncIterator

import pytest

from services.storage.database import Database


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    """A small pool on a database of this test's own."""
    opened = Database.open(migrated_database_url, pool_size=4, pool_timeout_s=5.0, command_timeout_s=10.0)
    yield opened
    await opened.close()
