"""Feedback in Postgres, and how a dislike finds a run that ended long ago."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.errors import InvalidRequest, NotFound
from services.events import RunEvent, ToolFinished
from services.feedback import Rating
from services.samples import Sample, Stratum, ToolUse
from services.storage.database import Database
from services.storage.feedback import DislikeRepository, FeedbackRepository
from services.storage.runs import RunRepository
from services.storage.scores import ScoreRepository
from services.types import Message, Run, RunOutcome, RunStatus, ToolCall, Usage
from tests.services.storage.conftest import ALICE, ANSWERED, BOB, MALLORY, a_row, a_run, in_postgres
from tests.services.storage.past import execute
from tests.services.storage.test_postgres import a_score

pytestmark = pytest.mark.postgres


async def disliked(database: Database, outcome: RunOutcome = ANSWERED) -> Run:
    """A run that has ended, and that its user disliked."""
    run = a_run()
    await in_postgres(database).answered(run, outcome)
    await FeedbackRepository(database).put(ALICE, run.id, Rating.DOWN, None)
    return run


async def looked(database: Database, rate: float = 1.0, limit: int = 10) -> list[UUID]:
    async with DislikeRepository(database).turn() as turn:
        return list(await turn.look_at({run.run_id: rate for run in await turn.due(limit)}))


async def samples(database: Database, *run_ids: UUID) -> list[Sample]:
    async with DislikeRepository(database).turn() as turn:
        return list(await turn.samples(run_ids))


async def test_a_run_has_one_feedback(database: Database) -> None:
    """The last one counts, of the run's own user only; nobody else learns that the run is there."""
    store, run = FeedbackRepository(database), a_run()
    await RunRepository(database).create(run)
    assert await store.of_run(ALICE, run.id) is None
    first = await store.put(ALICE, run.id, Rating.UP, "Fine.")
    last = await store.put(ALICE, run.id, Rating.DOWN, None)
    assert await store.of_run(ALICE, run.id) == last
    assert (last.rating, last.comment, last.created_at) == (Rating.DOWN, None, first.created_at)
    assert last.updated_at > first.updated_at
    assert (type(last.run_id), last.run_id) == (UUID, run.id)
    for principal, run_id in ((BOB, run.id), (MALLORY, run.id), (ALICE, uuid7())):
        with pytest.raises(NotFound):
            await store.put(principal, run_id, Rating.UP, None)
        with pytest.raises(NotFound):
            await store.of_run(principal, run_id)
    with pytest.raises(InvalidRequest):
        await store.put(ALICE, run.id, Rating.UP, "a\x00b")


async def test_a_disliked_run_is_looked_at_once_by_anybody(database: Database) -> None:
    """When it has ended; one that is liked is not, nor one that was looked at and is disliked again."""
    runs = [await disliked(database) for _ in range(6)]
    store = FeedbackRepository(database)
    await store.put(ALICE, runs[0].id, Rating.UP, None)
    at_work = a_run()
    await RunRepository(database).create(at_work)
    await store.put(ALICE, at_work.id, Rating.DOWN, None)
    first, second = await asyncio.gather(looked(database, limit=3), looked(database, limit=3))
    assert sorted(first + second + await looked(database)) == sorted(run.id for run in runs[1:])
    await store.put(ALICE, runs[1].id, Rating.UP, None)
    await store.put(ALICE, runs[1].id, Rating.DOWN, None)
    assert await looked(database) == []


async def test_a_look_that_fails_has_not_been(database: Database) -> None:
    """What it has marked waits for the next one."""
    run = await disliked(database)

    async def look() -> None:
        async with DislikeRepository(database).turn() as turn:
            assert await turn.look_at({run.run_id: 1.0 for run in await turn.due(10)}) == [run.id]
            raise RuntimeError("lost on the way to the evaluator")

    with pytest.raises(RuntimeError):
        await look()
    assert await looked(database) == [run.id]


async def test_a_record_that_cannot_be_read_holds_up_no_other(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in the log, and the others are judged."""
    broken, sound = await disliked(database), await disliked(database)
    await execute(
        database, "UPDATE messages SET tool_calls = '[{\"odd\": 1}]' WHERE run_id = $1 AND NOT input", broken.id
    )
    assert [sample.run_id for sample in await samples(database, broken.id, sound.id)] == [sound.id]
    assert str(broken.id) in caplog.text


async def test_what_was_judged_weighs_anew(database: Database) -> None:
    """It was as likely to be taken as any disliked run, if that is likelier; what is judged later weighs so from the start."""
    scores = ScoreRepository(database)

    async def weights(run: Run) -> list[tuple[str, float, Stratum, bool]]:
        return [(s.criterion, s.weight, s.stratum, s.base) for s in await scores.of_run(ALICE, run.id)]

    judged, certain, late = [await disliked(database) for _ in range(3)]
    await scores.add([a_score(judged.id, weight=20.0), a_score(certain.id, weight=1.0, base=False)])
    assert await looked(database, rate=0.5) == [late.id]
    await scores.add([a_score(judged.id, weight=20.0, criterion="safety"), a_score(late.id, weight=2.0, base=False)])
    assert await weights(judged) == [
        ("helpfulness", 2.0, Stratum.DISLIKED, True),
        ("safety", 2.0, Stratum.DISLIKED, True),
    ]
    assert await weights(certain) == [("helpfulness", 1.0, Stratum.DISLIKED, False)]
    assert await weights(late) == [("helpfulness", 2.0, Stratum.DISLIKED, False)]


async def test_a_run_that_nobody_may_judge_keeps_its_scores_as_they_are(database: Database) -> None:
    """A rate of zero says nothing about those that were judged before it was set."""
    run = await disliked(database)
    await ScoreRepository(database).add([a_score(run.id, weight=20.0)])
    assert await looked(database, rate=0.0) == []
    [score] = await ScoreRepository(database).of_run(ALICE, run.id)
    assert score.weight == 20.0


async def test_a_cancelled_run_is_not_judged(database: Database) -> None:
    """It has no end of its own, and is looked at all the same."""
    await disliked(database, replace(ANSWERED, status=RunStatus.CANCELLED, finish_reason=None))
    assert await looked(database) == []


async def test_a_run_is_read_as_its_judge_would_have_seen_it(database: Database) -> None:
    """Question, answer, tools with what came of them, and what made the answer: as far as it is on record."""
    stores, run = in_postgres(database), a_run()
    claim = await stores.claimed(run)
    calls = tuple(ToolCall(id=f"c{n}", name="read", arguments="{}") for n in range(2))
    said = (
        Message(role="assistant", content="", tool_calls=calls),
        Message(role="tool", content="No such file.", tool_call_id="c0", name="read"),
        Message(role="tool", content="Two years.", tool_call_id="c1", name="read"),
        Message(role="assistant", content="It is two years."),
    )
    finished: list[RunEvent] = [
        ToolFinished(call_id=f"c{n}", name="read", ok=ok, result="", duration_s=0.1)
        for n, ok in enumerate((False, True))
    ]
    usage = Usage(input_tokens=10, output_tokens=3, model_calls=1)
    outcome = replace(ANSWERED, messages=said, usage=usage, prompt_version="p1")
    await stores.owned.finish(claim, outcome, [a_row(claim.fence, 0, finished)])
    [sample] = await samples(database, run.id)
    assert (sample.run_id, sample.tenant_id, sample.graph) == (run.id, "acme", run.graph)
    assert (sample.question, sample.answer) == (run.messages[-1].content, "It is two years.")
    assert sample.tool_results == ("No such file.", "Two years.")
    assert sample.tool_uses == (ToolUse(name="read", succeeded=False), ToolUse(name="read", succeeded=True))
    assert (sample.status, sample.provider, sample.model) == (RunStatus.COMPLETED, "openai", "small")
    assert (sample.output_tokens, sample.prompt_version) == (3, "p1")
    assert 0 <= sample.duration_s < 60
    assert (sample.stratum, sample.base) == (Stratum.DISLIKED, False)
    await execute(database, "DELETE FROM run_events WHERE run_id = $1", run.id)
    [sample] = await samples(database, run.id)
    assert sample.tool_uses == (ToolUse(name="read", succeeded=None), ToolUse(name="read", succeeded=None))


async def test_due_dislikes_and_means_are_found_by_their_indexes(database: Database) -> None:
    """However many rows there are beside them."""
    async with database.raw() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        plans = [
            await connection.fetch(f"EXPLAIN {query}")
            for query in (
                "SELECT FROM feedback WHERE rating = 'down' AND rate IS NULL ORDER BY updated_at LIMIT 9",
                "SELECT FROM scores WHERE tenant_id = 'acme' AND ended_at >= now() - interval '1 day' AND ended_at < now()",
            )
        ]
    for name, plan in zip(("ix_feedback_due", "ix_scores_ended_at"), plans, strict=True):
        assert any(name in row[0] for row in plan), plan
