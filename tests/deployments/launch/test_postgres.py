import asyncpg
import pytest

pytestmark = pytest.mark.postgres


async def test_a_fresh_database_is_empty_and_usable(fresh_database_url: str) -> None:
    """Each test gets a database of its own, reached over a Unix socket with the URL as given."""
    connection = await asyncpg.connect(fresh_database_url)
    try:
        await connection.execute("CREATE TABLE t (id int)")
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 1
        assert await connection.fetchval("SHOW listen_addresses") == ""
    finally:
        await connection.close()
