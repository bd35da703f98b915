from pathlib import Path

import pytest

from deployments.launch import database
from deployments.launch.errors import LaunchFailed
from deployments.launch.options import Options
from services.security.authenticator import Authenticator
from services.storage.api_keys import ApiKeyRepository
from services.storage.database import Database

PEPPER = "a pepper of enough characters"


@pytest.mark.postgres
async def test_the_first_start_makes_a_key_and_the_second_none(migrated_database_url: str) -> None:
    """The key of the first start opens the door; later starts leave it alone."""
    key = await database.first_key(migrated_database_url, PEPPER)
    assert key is not None
    assert await database.first_key(migrated_database_url, PEPPER) is None
    assert await _user_of(migrated_database_url, key) == (database.TENANT, database.USER)


@pytest.mark.postgres
async def test_another_key_is_for_whom_it_was_made(migrated_database_url: str) -> None:
    """`make key` names tenant and user."""
    key = await database.add_key(migrated_database_url, PEPPER, tenant_id="acme", user_id="ann")
    assert await _user_of(migrated_database_url, key) == ("acme", "ann")


async def _user_of(url: str, key: str) -> tuple[str, str]:
    opened = Database.open(url, pool_size=1)
    try:
        authenticator = Authenticator(ApiKeyRepository(opened), PEPPER, cache_s=0, clock=lambda: 0.0)
        principal = await authenticator.authenticate(key)
    finally:
        await opened.close()
    return principal.tenant_id, principal.user_id


def test_without_a_database_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    """Neither DATABASE_URL nor a running launcher: both are named."""
    options = Options.from_environ({"MAINSTAY_HOME": str(tmp_path)})
    with pytest.raises(LaunchFailed, match=r"DATABASE_URL.*make serve"):
        database.existing_url(options, {})
    assert database.existing_url(options, {"DATABASE_URL": "postgresql://x"}) == "postgresql://x"


def test_a_key_is_not_made_under_an_unknown_pepper(tmp_path: Path) -> None:
    """A made-up pepper would give a key that no replica accepts."""
    options = Options.from_environ({"MAINSTAY_HOME": str(tmp_path)})
    with pytest.raises(LaunchFailed, match="MAINSTAY_KEY_PEPPER is not set"):
        database.known_pepper(options, {})
    assert database.known_pepper(options, {"MAINSTAY_KEY_PEPPER": PEPPER}) == PEPPER
    own = database.pepper_of(options, {})
    assert database.known_pepper(options, {}) == own
