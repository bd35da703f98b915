"""The command `key`: what it makes opens, and what it revokes does not."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest

from deployments.launch.__main__ import main
from deployments.launch.console import Console
from services.errors import Unauthenticated
from services.security.authenticator import Authenticator
from services.security.permissions import GRANTS, Permission, Role
from services.storage.api_keys import ApiKeyRepository
from services.storage.database import Database
from tests.services.security.records import Witness

PEPPER = "a pepper of enough characters"
Typed = Callable[..., Awaitable[tuple[int, str, str]]]

pytestmark = pytest.mark.postgres


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, migrated_database_url: str) -> Typed:
    """Type the command: its status, what it shows, and what it says beside that."""
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    monkeypatch.setenv("MAINSTAY_KEY_PEPPER", PEPPER)

    async def run(*arguments: str) -> tuple[int, str, str]:
        said, shown = io.StringIO(), io.StringIO()
        status = await asyncio.to_thread(main, ("key", *arguments), Console(stream=said, output=shown))
        return status, shown.getvalue().strip(), said.getvalue().strip()

    return run


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(migrated_database_url, pool_size=1)
    yield opened
    await opened.close()


def door(database: Database) -> Authenticator:
    return Authenticator(ApiKeyRepository(database), PEPPER, Witness(), cache_s=0.0, clock=lambda: 0.0)


async def test_a_key_is_for_whom_and_what_it_was_made(typed: Typed, database: Database) -> None:
    """By default a user's, for good; the role and scopes that were typed else."""
    _, plain, _ = await typed("--tenant", "acme", "--user", "ann")
    principal = await door(database).authenticate(plain)
    assert (principal.tenant_id, principal.user_id, principal.permissions) == ("acme", "ann", GRANTS[Role.USER])
    _, narrow, _ = await typed("--role", "admin", "--scope", "keys:manage", "--scope", "runs:read", "--days", "1")
    principal = await door(database).authenticate(narrow)
    assert (principal.tenant_id, principal.user_id) == ("default", "local")
    assert principal.permissions == {Permission.KEYS_MANAGE, Permission.RUNS_READ}


async def test_keys_are_listed_rotated_and_revoked(typed: Typed, database: Database) -> None:
    """A list names what the other two are told, and holds nothing that opens."""
    assert (await typed("--list"))[2] == "Tenant default has no keys."
    _, old, _ = await typed()
    key_id, prefix, *rest = (await typed("--list"))[1].split()
    assert old.startswith(prefix.removesuffix("..."))
    assert rest == ["local", "user", "(all)", "for", "good"]
    _, new, said = await typed("--rotate", key_id, "--grace-s", "0")
    assert "for 0 s at most" in said
    with pytest.raises(Unauthenticated):
        await door(database).authenticate(old)
    newest = (await typed("--list"))[1].split()[0]
    assert (await typed("--revoke", newest))[0] == 0
    with pytest.raises(Unauthenticated):
        await door(database).authenticate(new)
    assert "revoked" in (await typed("--list"))[1].splitlines()[0]


async def test_what_there_is_not_is_one_line(typed: Typed) -> None:
    for option in ("--revoke", "--rotate"):
        status, shown, said = await typed(option, str(uuid4()))
        assert (status, shown) == (1, "")
        assert said.startswith("mainstay: There is no key")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", ""), "A name has 1 to 128 characters"),
        (("--tenant", "a\nb", "--list"), "A name has 1 to 128 characters"),
        (("--days", "nan"), "A key lasts from 60"),
        (("--days", "1e9"), "A key lasts from 60"),
        (("--days", "-5"), "A key lasts from 60"),
        (("--list", "--role", "admin"), "--role does nothing here"),
        (("--revoke", str(uuid4()), "--days", "3"), "--days does nothing here"),
        (("--grace-s", "3"), "--grace-s does nothing here"),
        (("--scope", "keys:manage"), "A key of the role user has scopes from these"),
    ],
)
async def test_what_cannot_be_meant_is_one_line(typed: Typed, arguments: tuple[str, ...], said: str) -> None:
    """And makes no key."""
    status, shown, told = await typed(*arguments)
    assert (status, shown) == (1, "")
    assert told.startswith(f"mainstay: {said}")
    assert (await typed("--list"))[1] == ""
