import os
from pathlib import Path

import pytest

from deployments.launch import documents
from deployments.launch.options import Options
from services.storage.database import Database
from services.storage.documents import DocumentRepository


async def _titles(url: str, query: str) -> list[str]:
    database = Database.open(url, pool_size=1)
    try:
        return [passage.title for passage in await DocumentRepository(database).search(query, 5)]
    finally:
        await database.close()


def _options(tmp_path: Path) -> Options:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18")
    return Options.from_environ({"MAINSTAY_HOME": str(tmp_path)})


def test_a_database_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    """Only a folder that the user names goes into a database that the launcher did not make."""
    assert documents.folder_of({}, embedded=False) is None
    assert documents.folder_of({"MAINSTAY_DOCUMENTS": str(tmp_path)}, embedded=False) == tmp_path
    sample = documents.folder_of({}, embedded=True)
    assert sample is not None
    assert list(sample.glob("*.md"))


@pytest.mark.postgres
async def test_documents_are_loaded_once_and_again_when_changed(migrated_database_url: str, tmp_path: Path) -> None:
    """A start with the same texts does no work; a changed text is found at the next start."""
    folder, options = tmp_path / "texts", _options(tmp_path)
    folder.mkdir()
    (folder / "a.md").write_text("# Parking\n\nCars stand behind the house.\n")
    assert await documents.load_if_changed(migrated_database_url, folder, options)
    assert await _titles(migrated_database_url, "cars") == ["Parking"]
    assert not await documents.load_if_changed(migrated_database_url, folder, options)
    (folder / "a.md").write_text("# Parking\n\nBicycles stand behind the house.\n")
    assert await documents.load_if_changed(migrated_database_url, folder, options)
    assert await _titles(migrated_database_url, "bicycles") == ["Parking"]
    assert await _titles(migrated_database_url, "cars") == []


def test_a_database_made_anew_is_filled_again(tmp_path: Path) -> None:
    """What was loaded into a database that is gone does not count."""
    options = _options(tmp_path)
    before = documents.fingerprint(tmp_path, options.postgres_dir)
    os.utime(options.postgres_dir / "PG_VERSION", (1, 1))
    assert documents.fingerprint(tmp_path, options.postgres_dir) != before
