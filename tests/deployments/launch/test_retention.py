"""`prune` and `erase` as an operator types them."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from configs.section import SettingsError
from deployments.launch import retention
from deployments.launch.__main__ import main
from deployments.launch.console import Console
from deployments.launch.options import Options
from services.errors import SchemaMismatch
from services.runs.prune import RetentionPolicy
from services.storage.database import Database
from services.types import Principal
from tests.services.storage.past import DAY_S, a_person, rows_in, turns

ANN = Principal(tenant_id="acme", user_id="ann")
BEN = Principal(tenant_id="acme", user_id="ben")

Typed = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(migrated_database_url, pool_size=1)
    yield opened
    await opened.close()


@pytest.fixture
def typed(migrated_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs a command, and returns its status and what it said."""
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    monkeypatch.setenv("MAINSTAY_HOME", str(tmp_path))
    monkeypatch.delenv("MAINSTAY_SETTINGS", raising=False)

    async def run(*arguments: str) -> tuple[int, str]:
        said = io.StringIO()
        status = await asyncio.to_thread(main, arguments, Console(stream=said, output=said))
        return status, said.getvalue().strip()

    return run


@pytest.mark.postgres
async def test_a_user_is_erased(database: Database, typed: Typed) -> None:
    """The command says how much there was; said again, that there was nothing."""
    await a_person(database, ANN)
    await turns(database, ANN, 3)
    await turns(database, BEN, 2)
    status, said = await typed("erase", "--tenant", "acme", "--user", "ann")
    assert (status, said) == (
        0,
        "Erased ann of tenant acme: api_keys 1, users 1, memories 1, budget_accounts 1,"
        " idempotency_keys 3, threads 3, usage 3, audit_events 2",
    )
    assert await rows_in(database, "runs", "memories") == {"runs": 2, "memories": 0}
    assert await typed("erase", "--tenant", "acme", "--user", "ann") == (
        0,
        "Erased ann of tenant acme: there was nothing",
    )


@pytest.mark.postgres
async def test_a_user_at_work_is_refused_in_one_line(database: Database, typed: Typed) -> None:
    """The status is 1, and nothing is erased; with --cancel what nobody has yet is stopped, and erased."""
    await turns(database, ANN, 1, status="queued")
    status, said = await typed("erase", "--tenant", "acme", "--user", "ann")
    assert status == 1
    assert said.startswith("mainstay: 1 runs of the user have not ended")
    assert (await rows_in(database, "threads"))["threads"] == 1
    status, _ = await typed("erase", "--tenant", "acme", "--user", "ann", "--cancel", "--wait-s", "5")
    assert status == 0
    assert (await rows_in(database, "threads"))["threads"] == 0


@pytest.mark.postgres
async def test_what_is_past_its_time_is_pruned(
    database: Database, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the settings that ship, and by those that MAINSTAY_SETTINGS lays over them."""
    await turns(database, ANN, 2, age_s=8 * DAY_S, ephemeral=True)
    await turns(database, ANN, 3, age_s=100 * DAY_S)
    counted = tmp_path / "prune.prom"
    assert await typed("prune", "--metrics-file", str(counted)) == (
        0,
        "Pruned: idempotency_keys 5, threads 2, run_events 6, run_spans 6",
    )
    assert 'mainstay_pruned_rows_total{kind="run_events"} 6.0' in counted.read_text().splitlines()
    assert await typed("prune") == (0, "Pruned: nothing is past its time")
    (tmp_path / "own.yaml").write_text("retention: { thread_ttl_s: 7776000 }")
    monkeypatch.setenv("MAINSTAY_SETTINGS", str(tmp_path / "own.yaml"))
    assert await typed("prune", "--overlay", "local") == (0, "Pruned: threads 3")


@pytest.mark.postgres
async def test_a_database_of_another_revision_is_left_alone(fresh_database_url: str) -> None:
    """Whoever forgets to migrate is told so."""
    for work in (
        retention.prune(fresh_database_url, RetentionPolicy()),
        retention.erase(fresh_database_url, tenant_id="acme", user_id="ann", cancel=False, wait_s=1.0),
    ):
        with pytest.raises(SchemaMismatch, match="make migrate"):
            await work


def test_what_ships_is_what_the_policy_says(tmp_path: Path) -> None:
    """The defaults of the settings and of the policy are the same, and nonsense is refused with its key."""
    options = Options.from_environ({"MAINSTAY_HOME": str(tmp_path)})
    assert retention.chosen_policy(options, "production") == RetentionPolicy()
    own = tmp_path / "own.yaml"
    own.write_text("retention: { events_ttl_s: 1 }")
    options = Options.from_environ({"MAINSTAY_HOME": str(tmp_path), "MAINSTAY_SETTINGS": str(own)})
    with pytest.raises(SettingsError, match=r"retention\.events_ttl_s"):
        retention.chosen_policy(options, "production")
