"""Migrations: they make the tables of `tables.py`, once, whoever asks first."""

import asyncio
from uuid import UUID, uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from services.errors import ConfigurationError, SchemaMismatch, StoreUnavailable
from services.storage import migrate
from services.storage.database import Database
from services.storage.tables import metadata
from tests.services.storage import past

pytestmark = pytest.mark.postgres

# What Alembic does not compare: check constraints, index predicates, defaults, collations, delete rules.
CATALOGUE = {
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND conrelid::regclass::text <> 'alembic_version'
    """,
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
    "columns": """
        SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, collation_name,
               generation_expression
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    """,
    "comments": """
        SELECT objoid::regclass::text, objsubid, description FROM pg_description
        JOIN pg_class ON pg_class.oid = objoid WHERE relnamespace = 'public'::regnamespace
    """,
}


async def catalogue(database: Database) -> dict[str, set[tuple[object, ...]]]:
    async with database.raw() as connection:
        return {name: {tuple(row) for row in await connection.fetch(query)} for name, query in CATALOGUE.items()}


async def test_alembic_sees_no_difference_between_the_migrations_and_the_tables(database: Database) -> None:
    """Autogenerating against a migrated database finds nothing to do."""

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.transaction() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_catalogue_of_a_migrated_database_is_that_of_the_tables(
    database: Database, fresh_database_url: str
) -> None:
    """Checks, index predicates, defaults and delete rules agree too, which Alembic would not notice."""
    drawn = Database.open(fresh_database_url)
    async with drawn.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    expected, found = await catalogue(drawn), await catalogue(database)
    await drawn.close()
    assert len(expected["constraints"]) > 20
    assert found == expected


async def test_two_upgrades_at_once_both_succeed(fresh_database_url: str) -> None:
    """One migrates while the other waits for the lock, and both end at the newest revision."""
    await asyncio.gather(migrate.upgrade(fresh_database_url), migrate.upgrade(fresh_database_url))
    assert await migrate.current(fresh_database_url) == migrate.head()


async def test_an_upgrade_works_from_any_folder(
    fresh_database_url: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The revisions are found beside the code, not in the current folder."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    await migrate.upgrade(fresh_database_url)
    assert await migrate.current(fresh_database_url) == migrate.head()


async def test_a_database_without_tables_is_refused_with_the_remedy(fresh_database_url: str) -> None:
    """A replica on an empty database says which revision it needs and what to run."""
    database = Database.open(fresh_database_url)
    with pytest.raises(SchemaMismatch, match=f"holds no tables.*revision {migrate.head()}: run `make migrate`"):
        await migrate.require_head(database)
    await database.close()


async def test_another_revision_is_refused_and_named(database: Database) -> None:
    """Found and expected revision are both in the message; at the expected one nothing is raised."""
    await migrate.require_head(database)
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(SchemaMismatch, match=f"at revision 0000.*needs revision {migrate.head()}"):
        await migrate.require_head(database)


async def test_migrating_needs_a_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where no Postgres listens, upgrade and current say that the store cannot be reached."""
    url = f"postgresql://postgres:hunter2@/postgres?host={tmp_path_factory.mktemp('nobody')}"
    with pytest.raises(StoreUnavailable):
        await migrate.upgrade(url)
    with pytest.raises(StoreUnavailable):
        await migrate.current(url)


@pytest.mark.parametrize("prefix", ["postgresql", "postgres", "postgresql+asyncpg"])
async def test_every_spelling_of_a_postgres_url_is_understood(prefix: str, migrated_database_url: str) -> None:
    """The driver that a URL names makes no difference, nor do an empty password or a socket folder."""
    url = prefix + migrated_database_url.removeprefix("postgresql").replace("postgres@/", "postgres:@/")
    assert await migrate.current(url) == migrate.head()
    database = Database.open(url)
    await database.ping()
    await database.close()


@pytest.mark.parametrize(
    "url",
    ["sqlite:///hunter2", "hunter2", "", "postgresql+psycopg://u:hunter2@h/d", "postgresql://u:[hunter2@h/d"],
)
async def test_what_is_no_postgres_url_is_refused_without_being_shown(url: str) -> None:
    """The password in a wrong URL does not appear in the error."""
    with pytest.raises(ConfigurationError) as caught:
        Database.open(url)
    assert "hunter2" not in str(caught.value)


async def test_a_password_with_special_characters_is_not_shown_in_parts() -> None:
    """`pa/ss` cuts a URL in the middle of the password: the error repeats neither part."""
    database = Database.open("postgresql://user:pa/ss@localhost/name")
    with pytest.raises(ConfigurationError) as caught:
        await database.ping()
    assert "pa" not in str(caught.value).replace("password", "")
    assert caught.value.__suppress_context__


async def test_scores_that_were_flagged_in_words_are_so_in_a_column(fresh_database_url: str) -> None:
    """Those of judges only: code has no ear."""
    await migrate.upgrade(fresh_database_url, "0008")
    database = Database.open(fresh_database_url)
    run_id = await a_run_of_before(database)
    for judge, reason in (("m/one_token", "flagged (answer: a verdict): fine"), ("m/structured", "It is fine."),
                          ("code", "flagged (as an example): fine")):  # fmt: skip
        await past.execute(
            database,
            "INSERT INTO scores (run_id, criterion, judge_model, rubric_version, tenant_id, reason, weight, graph,"
            " prompt_version, stratum, base) VALUES ($1, 'c', $2, '1', 'acme', $3, 1, 'react', '', 'ordinary', true)",
            run_id, judge, reason,
        )  # fmt: skip
    await migrate.upgrade(fresh_database_url)
    async with database.raw() as connection:
        rows = await connection.fetch("SELECT judge_model FROM scores WHERE flagged")
    await database.close()
    assert [row["judge_model"] for row in rows] == ["m/one_token"]


async def test_of_several_rows_of_feedback_on_a_run_the_newest_is_kept(fresh_database_url: str) -> None:
    """And ingress replicas of before, which insert by the key of before, go on until they are replaced."""
    await migrate.upgrade(fresh_database_url, "0009")
    database = Database.open(fresh_database_url)
    run_id = await a_run_of_before(database)
    put = (
        "INSERT INTO feedback (run_id, user_id, tenant_id, rating, updated_at)"
        " VALUES ($1, $2, 'acme', $3, now() - $4 * interval '1 day')"
    )
    for user, rating, days in (("alice", "down", 2), ("bob", "up", 1), ("carol", "down", 3)):
        await past.execute(database, put, run_id, user, rating, days)
    await migrate.upgrade(fresh_database_url)
    upsert = f"{put} ON CONFLICT (run_id, user_id) DO UPDATE SET comment = 'again'"
    await past.execute(database, upsert, run_id, "bob", "up", 0)
    async with database.raw() as connection:
        rows = await connection.fetch("SELECT user_id, rating, comment FROM feedback")
    await database.close()
    assert [tuple(row) for row in rows] == [("bob", "up", "again")]


async def a_run_of_before(database: Database) -> UUID:
    """A run of alice's, in the columns that each revision from 0008 on has."""
    run_id = uuid4()
    thread = "INSERT INTO threads (id, tenant_id, user_id, ephemeral) VALUES ($1, 'acme', 'alice', false)"
    await past.execute(database, thread, run_id)
    await past.execute(
        database,
        "INSERT INTO runs (id, thread_id, tenant_id, user_id, graph, status, ephemeral, on_disconnect, attempt, finished_at)"
        " VALUES ($1, $1, 'acme', 'alice', 'react', 'completed', false, 'continue', 1, now())",
        run_id,
    )
    return run_id
