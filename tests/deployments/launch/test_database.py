from pathlib import Path

import pytest

from deployments.launch import database
from deployments.launch.errors import LaunchFailed
from deployments.launch.options import Options
from services.security.authenticator import Authenticator
from services.security.permissions import GRANTS, Role
from services.storage.api_keys import ApiKeyRepository
from services.storage.database import Database
from services.types import Principal
from tests.services.security.records import Witness

PEPPER = "a pepper of enough characters"


@pytest.mark.postgres
async def test_the_first_start_makes_a_key_and_the_second_none(migrated_database_url: str) -> None:
    """The key of the first start is an administrator's; later starts leave it alone."""
    key = await database.first_key(migrated_database_url, PEPPER)
    assert key is not None
    assert await database.first_key(migrated_database_url, PEPPER) is None
    holder = await _holder_of(migrated_database_url, key)
    assert (holder.tenant_id, holder.user_id) == (database.TENANT, database.USER)
    assert holder.permissions == GRANTS[Role.ADMIN]


async def _holder_of(url: str, key: str) -> Principal:
    opened = Database.open(url, pool_size=1)
    try:
        authenticator = Authenticator(ApiKeyRepository(opened), PEPPER, Witness(), cache_s=0, clock=lambda: 0.0)
        return await authenticator.authenticate(key)
    finally:
        await opened.close()


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
