"""What every store promises, in memory and in Postgres alike."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from services.errors import Failure, InvalidRequest, NotFound, ThreadBusy
from services.runs.ports import Created
from services.types import (
    IdempotencyKey,
    Interruption,
    Message,
    ModelOptions,
    OnDisconnect,
    Principal,
    RunOutcome,
    RunStatus,
    Submission,
    ToolCall,
    Usage,
)
from tests.services.storage.conftest import ALICE, ANSWERED, BOB, LEASE, MALLORY, Stores, a_run

NUL, LONE = "a\x00b", "a\ud800b"


async def test_a_run_comes_back_as_it_was_stored(stores: Stores) -> None:
    """Every field of a run and of its messages survives, in order."""
    call = ToolCall(id="c1", name="lookup", arguments='{"q": "\\u0000 is only shown"}')
    run = replace(
        a_run(),
        messages=(
            Message(role="system", content="Be brief. 😀 \\u0000"),
            Message(role="user", content="Hi", name="alice"),
            Message(role="assistant", content="", tool_calls=(call, replace(call, id="c2"))),
            Message(role="tool", content="42", tool_call_id="c1"),
        ),
        options=ModelOptions(temperature=0.5, stop=("a", "b"), seed=7, max_output_tokens=9, top_p=0.0),
        on_disconnect=OnDisconnect.CONTINUE,
        metadata={"customer": "7"},
        ephemeral=True,
        priority=3,
        flagged=True,
        decisions=({"type": "approve"}, {"type": "edit", "edited_action": {"name": "f", "args": {"n": [1, None]}}}),
    )
    await stores.runs.create(run)
    stored = await stores.runs.get(ALICE, run.id)
    assert stored.created_at is not None
    assert abs(datetime.now(UTC) - stored.created_at) < timedelta(minutes=1)
    assert stored == replace(run, new_thread=False, created_at=stored.created_at)


async def test_a_run_is_claimed_once(stores: Stores) -> None:
    """Its owner is given the run as running, at its first attempt; a second claim, or one of no run, finds nothing."""
    run = a_run()
    claim = await stores.claimed(run)
    assert claim.run.created_at is not None
    assert claim.run.started_at is not None
    assert claim.run.started_at >= claim.run.created_at
    assert claim.run == replace(
        run,
        status=RunStatus.RUNNING,
        new_thread=False,
        created_at=claim.run.created_at,
        started_at=claim.run.started_at,
        attempt=1,
    )
    assert (claim.crashes, claim.progress) == (0, None)
    assert 50.0 < claim.remaining_s <= 60.0
    for run_id in (run.id, uuid7()):
        with pytest.raises(NotFound):
            await stores.owned.claim(run_id, LEASE)


async def test_a_claim_has_what_is_left_of_the_time(stores: Stores) -> None:
    """A run's time counts from its creation, by the store's clock, and is never negative."""
    run, late = a_run(timeout_s=60.0), a_run(timeout_s=10.0)
    await stores.runs.create(run)
    await stores.runs.create(late)
    await stores.later(30.0)
    assert 25.0 < (await stores.owned.claim(run.id, LEASE)).remaining_s <= 30.0
    assert (await stores.owned.claim(late.id, LEASE)).remaining_s == 0.0


async def test_how_a_run_ended_is_recorded(stores: Stores) -> None:
    """Status, reason and usage are there after finish, and so is the time."""
    run = await stores.answered(a_run())
    stored = await stores.runs.get(ALICE, run.id)
    assert (stored.status, stored.finish_reason, stored.usage) == (RunStatus.COMPLETED, "stop", ANSWERED.usage)
    assert stored.failure is None
    assert stored.created_at is not None
    assert stored.finished_at is not None
    assert stored.finished_at >= stored.created_at


async def test_a_failure_is_recorded_as_data(stores: Stores) -> None:
    """The failure of a run that never started comes back with all its fields."""
    failure = Failure(code="overloaded", message="Later.", status=503, retryable=True, retry_after_s=1.5, param="model")
    run = a_run()
    await stores.runs.create(run)
    await stores.runs.finish(
        run, RunOutcome(status=RunStatus.FAILED, messages=(), usage=Usage(estimated=True), failure=failure)
    )
    stored = await stores.runs.get(ALICE, run.id)
    assert (stored.status, stored.failure, stored.usage) == (RunStatus.FAILED, failure, Usage(estimated=True))


async def test_a_question_is_recorded_as_data(stores: Stores) -> None:
    """An interrupted run comes back with what it asks, its thread takes the next turn, and what it said is whole."""
    asked = (Interruption(id="i1", value={"name": "f", "args": {"n": [1, None]}}), Interruption(id="i2", value="Sure?"))
    outcome = replace(ANSWERED, status=RunStatus.INTERRUPTED, finish_reason=None, interrupts=asked)
    run = await stores.answered(a_run(), outcome)
    stored = await stores.runs.get(ALICE, run.id)
    assert (stored.status, stored.interrupts) == (RunStatus.INTERRUPTED, asked)
    resumed = replace(a_run(thread_id=run.thread_id), messages=(), decisions=({"type": "approve"},) * 2)
    assert (await stores.claimed(resumed)).run.decisions == resumed.decisions
    assert not any(message.incomplete for message in await stores.threads.messages(ALICE, run.thread_id, limit=5))


async def test_the_first_end_of_a_run_counts(stores: Stores) -> None:
    """A second finish is told how the run stands, and changes neither status, reason nor answer."""
    run = a_run()
    await stores.runs.create(run)
    assert await stores.runs.finish(run, ANSWERED) is RunStatus.COMPLETED
    said = (Message(role="assistant", content="?"), Message(role="assistant", content="!"))
    late = RunOutcome(status=RunStatus.CANCELLED, messages=said, usage=Usage(output_tokens=1))
    assert await stores.runs.finish(run, late) is RunStatus.COMPLETED
    stored = await stores.runs.get(ALICE, run.id)
    assert (stored.status, stored.finish_reason, stored.usage) == (RunStatus.COMPLETED, "stop", ANSWERED.usage)
    assert len(await stores.threads.messages(ALICE, run.thread_id, limit=10)) == 2


async def test_a_run_that_somebody_else_closed_keeps_its_bill_and_its_answer(stores: Stores) -> None:
    """The agent's late outcome of a run that was closed empty leaves the status, and brings usage and text."""
    run = a_run()
    await stores.runs.create(run)
    lost = RunOutcome(status=RunStatus.CANCELLED, messages=(), usage=Usage())
    assert await stores.runs.finish(run, lost) is RunStatus.CANCELLED
    assert await stores.runs.finish(run, ANSWERED) is RunStatus.CANCELLED
    assert await stores.runs.finish(run, lost) is RunStatus.CANCELLED
    stored = await stores.runs.get(ALICE, run.id)
    assert (stored.status, stored.finish_reason, stored.usage) == (RunStatus.CANCELLED, None, ANSWERED.usage)
    said = await stores.threads.messages(ALICE, run.thread_id, limit=10)
    assert [message.content for message in said] == ["How long is the warranty?", "Two years."]


async def test_ends_that_race_agree_on_one(stores: Stores) -> None:
    """Of eight outcomes at once all are told the same status, one gives the answer, and the largest usage is the bill."""
    run = a_run()
    await stores.runs.create(run)
    outcomes = [
        RunOutcome(
            status=RunStatus.CANCELLED if number % 2 else RunStatus.COMPLETED,
            messages=(Message(role="assistant", content=str(number)),) * (number + 1),
            usage=Usage(output_tokens=number),
        )
        for number in range(8)
    ]
    told = await asyncio.gather(*(stores.runs.finish(run, outcome) for outcome in outcomes))
    stored = await stores.runs.get(ALICE, run.id)
    assert set(told) == {stored.status}
    assert stored.usage == Usage(output_tokens=7)
    said = [message.content for message in await stores.threads.messages(ALICE, run.thread_id, limit=20)][1:]
    assert len(said) == int(said[0]) + 1
    assert len(set(said)) == 1


async def test_finishing_an_unknown_run_does_nothing(stores: Stores) -> None:
    """A run that was erased meanwhile has no end to record."""
    run = a_run()
    assert await stores.runs.finish(run, ANSWERED) is ANSWERED.status
    with pytest.raises(NotFound):
        await stores.runs.get(ALICE, run.id)


@pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.PENDING, RunStatus.RUNNING])
async def test_a_run_cannot_end_alive(stores: Stores, status: RunStatus) -> None:
    """An outcome with a live status is a bug and says so."""
    run = a_run()
    await stores.runs.create(run)
    with pytest.raises(ValueError, match="is not how a run ends"):
        await stores.runs.finish(run, replace(ANSWERED, status=status))


async def test_a_thread_runs_one_turn_at_a_time(stores: Stores) -> None:
    """While a run is pending or running its thread is busy; afterwards it takes the next."""
    first = a_run()
    await stores.runs.create(first)
    second = a_run(thread_id=first.thread_id)
    with pytest.raises(ThreadBusy):
        await stores.runs.create(second)
    await stores.owned.claim(first.id, LEASE)
    with pytest.raises(ThreadBusy):
        await stores.runs.create(second)
    await stores.runs.finish(first, ANSWERED)
    await stores.runs.create(second)


async def test_of_many_turns_at_once_one_is_taken(stores: Stores) -> None:
    """Sixteen runs created at the same moment in one thread: one is stored, fifteen are told that it is busy."""
    thread_id = (await stores.answered(a_run())).thread_id
    results = await asyncio.gather(
        *(stores.runs.create(a_run(thread_id=thread_id)) for _ in range(16)), return_exceptions=True
    )
    assert sum(isinstance(result, Created) for result in results) == 1
    assert sum(isinstance(result, ThreadBusy) for result in results) == 15


async def test_a_turn_needs_a_thread_of_its_own_principal(stores: Stores) -> None:
    """An unknown thread, another user's and another tenant's are refused in the same words."""
    run = await stores.answered(a_run())
    messages = set()
    for principal, thread_id in ((ALICE, uuid7()), (BOB, run.thread_id), (MALLORY, run.thread_id)):
        with pytest.raises(NotFound) as caught:
            await stores.runs.create(a_run(principal=principal, thread_id=thread_id))
        messages.add(str(caught.value).replace(str(thread_id), "ID"))
    assert len(messages) == 1


async def test_an_ephemeral_thread_takes_no_second_turn(stores: Stores) -> None:
    """It is refused in the words for a thread that is absent, since nobody promised to remember it."""
    run = await stores.answered(a_run(ephemeral=True))
    words = set()
    for thread_id in (run.thread_id, uuid7()):
        for ephemeral in (False, True):
            with pytest.raises(NotFound) as caught:
                await stores.runs.create(a_run(thread_id=thread_id, ephemeral=ephemeral))
            words.add(str(caught.value).replace(str(thread_id), "ID"))
    assert len(words) == 1


async def test_ids_of_others_look_like_ids_of_nothing(stores: Stores) -> None:
    """For run, thread, messages and deletion: another's id and an invented one raise the same NotFound."""
    run = await stores.answered(a_run())
    calls: list[Callable[[Principal, bool], Awaitable[object]]] = [
        lambda who, real: stores.runs.get(who, run.id if real else uuid7()),
        lambda who, real: stores.threads.get(who, run.thread_id if real else uuid7()),
        lambda who, real: stores.threads.messages(who, run.thread_id if real else uuid7(), limit=1),
        lambda who, real: stores.threads.delete(who, run.thread_id if real else uuid7()),
    ]
    for call in calls:
        shapes = set()
        for who, real in ((ALICE, False), (BOB, True), (MALLORY, True)):
            with pytest.raises(NotFound) as caught:
                await call(who, real)
            words = str(caught.value).split()
            shapes.add((" ".join(words[:-1]), len(words[-1]), tuple(sorted(vars(caught.value)))))
        assert len(shapes) == 1
    assert (await stores.threads.get(ALICE, run.thread_id)).id == run.thread_id


async def test_the_last_messages_come_oldest_first(stores: Stores) -> None:
    """A limit cuts the oldest away, across turns."""
    first = await stores.answered(a_run("one"))
    second = a_run("two", thread_id=first.thread_id)
    await stores.answered(second, replace(ANSWERED, messages=(Message(role="assistant", content="2"),)))
    said = await stores.threads.messages(ALICE, first.thread_id, limit=10)
    assert [message.content for message in said] == ["one", "Two years.", "two", "2"]
    assert list(await stores.threads.messages(ALICE, first.thread_id, limit=3)) == list(said[1:])


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
async def test_what_an_unfinished_run_said_is_marked(stores: Stores, status: RunStatus) -> None:
    """Of a failed or cancelled run the answer is incomplete, its question is not; whole answers before and after are not."""
    before = await stores.answered(a_run("one"))
    partial = (Message(role="assistant", content="Two ye"),)
    await stores.answered(a_run("two", thread_id=before.thread_id), replace(ANSWERED, status=status, messages=partial))
    await stores.answered(a_run("three", thread_id=before.thread_id))
    await stores.claimed(a_run("four", thread_id=before.thread_id))
    said = await stores.threads.messages(ALICE, before.thread_id, limit=10)
    assert [message.content for message in said if message.incomplete] == ["Two ye"]
    assert len(said) == 7
    assert (await stores.threads.messages(ALICE, before.thread_id, limit=4))[0] == replace(partial[0], incomplete=True)


async def test_threads_are_listed_newest_first_in_pages(stores: Stores) -> None:
    """Pages join without gap or overlap; ephemeral threads and other people's are not listed."""
    mine = [(await stores.answered(a_run(str(n)))).thread_id for n in range(5)]
    await stores.answered(a_run(ephemeral=True))
    await stores.answered(a_run(principal=BOB))
    await stores.answered(a_run(principal=MALLORY))
    page = await stores.threads.list(ALICE, limit=2)
    seen = [thread.id for thread in page]
    while page:
        page = await stores.threads.list(ALICE, limit=2, before=page[-1].id)
        seen += [thread.id for thread in page]
    assert seen == mine[::-1]


async def test_nothing_is_listed_behind_a_thread_of_someone_else(stores: Stores) -> None:
    """A page behind another's thread is empty, as behind an unknown one, so neither can be probed."""
    await stores.answered(a_run())
    other = await stores.answered(a_run(principal=BOB))
    assert list(await stores.threads.list(ALICE, limit=5, before=other.thread_id)) == []
    assert list(await stores.threads.list(ALICE, limit=5, before=uuid7())) == []


async def test_a_thread_is_touched_by_each_turn(stores: Stores) -> None:
    """`updated_at` moves with a new turn, `created_at` does not."""
    run = await stores.answered(a_run())
    before = await stores.threads.get(ALICE, run.thread_id)
    await stores.answered(a_run(thread_id=run.thread_id))
    after = await stores.threads.get(ALICE, run.thread_id)
    assert after.created_at == before.created_at
    assert after.updated_at > before.updated_at


async def test_erasing_a_thread_takes_its_runs_along(stores: Stores) -> None:
    """Neither thread nor run is found afterwards; a busy thread is not erased."""
    run = await stores.answered(a_run())
    live = a_run(thread_id=run.thread_id)
    await stores.runs.create(live)
    with pytest.raises(ThreadBusy):
        await stores.threads.delete(ALICE, run.thread_id)
    await stores.runs.finish(live, ANSWERED)
    await stores.threads.delete(ALICE, run.thread_id)
    with pytest.raises(NotFound):
        await stores.threads.get(ALICE, run.thread_id)
    with pytest.raises(NotFound):
        await stores.runs.get(ALICE, run.id)


@pytest.mark.parametrize("text", [NUL, LONE], ids=["nul", "surrogate"])
async def test_what_postgres_cannot_hold_is_refused_from_a_client(stores: Stores, text: str) -> None:
    """In a message, a tool call, a stop word or metadata: InvalidRequest, and nothing is stored."""
    run = a_run()
    call = ToolCall(id="c", name="f", arguments=text)
    for bad in (
        replace(run, messages=(Message(role="user", content=text),)),
        replace(run, messages=(Message(role="assistant", content="", tool_calls=(call,)),)),
        replace(run, messages=(Message(role="tool", content="", tool_call_id=text),)),
        replace(run, messages=(Message(role="user", content="", name=text),)),
        replace(run, metadata={"k": text}),
        replace(run, metadata={text: "v"}),
        replace(run, options=ModelOptions(stop=(text,))),
        replace(run, decisions=({"type": "respond", "message": text},)),
        replace(run, user_id=text),
    ):
        with pytest.raises(InvalidRequest):
            await stores.runs.create(bad)
    for submission in (
        Submission(webhook_url=text),
        Submission(idempotency=IdempotencyKey(key=text, digest=bytes(32))),
    ):
        with pytest.raises(InvalidRequest):
            await stores.runs.create(run, submission)
    with pytest.raises(NotFound):
        await stores.runs.get(ALICE, run.id)


@pytest.mark.parametrize("text", [NUL, LONE], ids=["nul", "surrogate"])
async def test_what_a_model_says_is_recorded_whatever_it_holds(stores: Stores, text: str) -> None:
    """The end of a run is stored with U+FFFD in the place of what Postgres cannot hold."""
    run = a_run()
    await stores.runs.create(run)
    outcome = RunOutcome(
        status=RunStatus.FAILED,
        messages=(Message(role="assistant", content=text, tool_calls=(ToolCall(id=text, name=text, arguments=text),)),),
        usage=Usage(),
        failure=Failure(code="x", message=text, status=500),
    )
    await stores.runs.finish(run, outcome)
    said = (await stores.threads.messages(ALICE, run.thread_id, limit=1))[0]
    assert said.content == said.tool_calls[0].arguments == "a\ufffdb"
    stored = await stores.runs.get(ALICE, run.id)
    assert stored.failure is not None
    assert stored.failure.message == "a\ufffdb"
