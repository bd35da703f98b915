"""Turns of production as a data set."""

import stat
from pathlib import Path

import pytest

from deployments.launch.export import export
from evaluation.offline.dataset import read_dataset
from services.feedback import Rating
from services.storage.database import Database
from services.storage.feedback import FeedbackRepository
from services.storage.scores import ScoreRepository
from services.types import Message, RunOutcome, RunStatus, Usage
from tests.services.storage.conftest import ALICE, MALLORY, a_run, in_postgres
from tests.services.storage.test_postgres import a_score

pytestmark = pytest.mark.postgres


def said(answer: str) -> RunOutcome:
    messages = (Message(role="tool", content="found", tool_call_id="1"), Message(role="assistant", content=answer))
    return RunOutcome(status=RunStatus.COMPLETED, messages=messages, usage=Usage())


@pytest.fixture
async def database_of_turns(migrated_database_url: str) -> Database:
    return Database.open(migrated_database_url, pool_size=2)


async def test_a_tenants_disliked_and_judged_turns_are_a_data_set(
    database_of_turns: Database, migrated_database_url: str, tmp_path: Path
) -> None:
    """With what was said before in their thread, without other tenants' and what nobody looked at, in a file of our own."""
    database = database_of_turns
    stores = in_postgres(database)
    first = a_run("Hello")
    await stores.answered(first, said("Hi."))
    follow_up = a_run("And the warranty?", thread_id=first.thread_id)
    judged, others = a_run("Judged?"), a_run("Secret?", principal=MALLORY)
    for run, answer in ((follow_up, "Ten years."), (judged, "Yes."), (others, "Secret.")):
        await stores.answered(run, said(answer))
    feedback = FeedbackRepository(database)
    await feedback.put(ALICE, follow_up.id, Rating.DOWN, None)
    await feedback.put(MALLORY, others.id, Rating.DOWN, None)
    await ScoreRepository(database).add([a_score(judged.id)])
    await database.close()
    out, asked = tmp_path / "turns.jsonl", {"tenant_id": "acme", "days": 1.0, "limit": 10}
    assert await export(migrated_database_url, out, disliked_only=False, **asked) == 2  # type: ignore[arg-type]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    by_id = {case.id: case for case in read_dataset(out).cases}
    assert by_id.keys() == {str(follow_up.id), str(judged.id)}
    conversation = [(one.role, one.content) for one in by_id[str(follow_up.id)].messages]
    assert conversation == [("user", "Hello"), ("assistant", "Hi."), ("user", "And the warranty?")]
    assert by_id[str(follow_up.id)].tags == (follow_up.graph, "disliked")
    assert '"answered": "Ten years."' in out.read_text()
    assert "Secret" not in out.read_text()
    with pytest.raises(FileExistsError):
        await export(migrated_database_url, out, disliked_only=False, **asked)  # type: ignore[arg-type]
    assert await export(migrated_database_url, tmp_path / "down.jsonl", disliked_only=True, **asked) == 1  # type: ignore[arg-type]
