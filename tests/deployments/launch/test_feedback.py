"""Thumbs of users as a calibration, from the command to what is published."""

import asyncio
import io
from pathlib import Path

import pytest

from deployments.launch import calibrate
from deployments.launch.console import Console
from evaluation.calibration.record import read_calibrations
from services.feedback import Rating
from services.storage.database import Database
from tests.services.storage.conftest import MALLORY
from tests.services.storage.test_ratings import judged

pytestmark = pytest.mark.postgres


async def test_the_thumbs_of_a_tenant_calibrate_its_judge(
    migrated_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No model is started for it, no other tenant counts, and nothing that anybody said is printed or published."""
    database = Database.open(migrated_database_url, pool_size=2)
    for value, rating in ((9.0, Rating.UP), (8.0, Rating.UP), (6.0, Rating.DOWN), (1.0, Rating.DOWN)):
        await judged(database, value, rating)
    await judged(database, 0.0, Rating.UP, by=MALLORY)
    await database.close()
    published, said = tmp_path / "own.json", io.StringIO()
    environ = {"DATABASE_URL": migrated_database_url, "MAINSTAY_HOME": str(tmp_path)}

    async def asked(*given: str) -> int:
        return await asyncio.to_thread(calibrate.main, ["feedback", *given], environ, Console(stream=said))

    assert await asked("--tenant", "acme", "--write", str(published)) == 0
    printed = capsys.readouterr().out
    assert "| helpfulness (rubric 1) | feedback | 4 | 0 | 75 % | 0.50 |" in printed
    assert "| down | 1 | 1 |" in printed
    [one] = read_calibrations(published)
    assert (one.judge_model, one.labels, one.confusion) == ("small", ("down", "up"), ((1, 1), (0, 2)))
    for text in (printed, published.read_text()):
        assert "Words that go nowhere" not in text
        assert "alice" not in text
    assert "acme" not in published.read_text()
    assert await asked("--tenant", "nobody") == 1
    assert await asked("--tenant", "acme", "--days", "0") == 1
    assert said.getvalue().count("was both rated and judged") == 2


def test_without_a_database_there_is_one_line(tmp_path: Path) -> None:
    said = io.StringIO()
    assert calibrate.main(["feedback", "--tenant", "t"], {"MAINSTAY_HOME": str(tmp_path)}, Console(stream=said)) == 1
    assert "there is no database" in said.getvalue()
