"""How runs are stopped, in every status and both ways, and what tells of an end: the same in memory and in Postgres."""

from dataclasses import replace

import pytest
from uuid_utils.compat import uuid7

from services.errors import NotFound, ThreadBusy
from services.events import TextDelta
from services.types import CancelAction, Claim, Message, Multitask, Run, RunOutcome, RunStatus, Submission, Usage
from tests.services.storage.conftest import ALICE, ANSWERED, LEASE, TTL_S, Stores, a_row, a_run

ENQUEUE = Submission(multitask=Multitask.ENQUEUE)
TOLD = Submission(webhook_url="https://example.com/told")
BOTH = pytest.mark.parametrize("action", list(CancelAction))
STOPPED = RunOutcome(
    status=RunStatus.CANCELLED,
    messages=(Message(role="assistant", content="Two ye"),),
    usage=Usage(input_tokens=10, output_tokens=1, model_calls=1),
)
QUESTION = "How long is the warranty?"


async def a_running_one(stores: Stores, submission: Submission = Submission()) -> Claim:  # noqa: B008
    """A run that has said something."""
    claim = await stores.claimed(a_run(), submission)
    await stores.owned.append([a_row(claim.fence, 0, [TextDelta(text="Two ye")])])
    return claim


async def events(stores: Stores, run: Run) -> int:
    page = (await stores.log.read({run.id: None}))[run.id]
    return sum(len(batch.events) for batch in page.batches)


@BOTH
async def test_a_run_that_nobody_has_ends_at_once(stores: Stores, action: CancelAction) -> None:
    """Pending or queued: it is cancelled, nobody can take it, and a rollback takes its question back."""
    pending = a_run()
    await stores.runs.create(pending)
    queued = a_run("And then?", thread_id=pending.thread_id)
    await stores.runs.create(queued, ENQUEUE)
    for run in (queued, pending):
        await stores.runs.cancel(run.id, action, "enough")
        stored = await stores.runs.get(ALICE, run.id)
        assert (stored.status, stored.cancel_reason) == (RunStatus.CANCELLED, "enough")
        assert stored.finished_at is not None
    with pytest.raises(NotFound):
        await stores.owned.claim(pending.id, LEASE)
    assert await stores.take_queued() == []
    kept = [QUESTION, "And then?"] if action is CancelAction.INTERRUPT else []
    assert await stores.said(pending.thread_id) == kept
    await stores.runs.create(a_run(thread_id=pending.thread_id))


@BOTH
async def test_a_run_at_work_is_stopped_by_its_owner(stores: Stores, action: CancelAction) -> None:
    """It goes on until its owner ends it, and its thread stays busy; the agents are woken, once for each wish."""
    claim = await a_running_one(stores)
    async with stores.listening() as heard:
        await stores.runs.cancel(claim.run.id, action, "enough")
        assert await heard() == {"cancel"}
        stored = await stores.runs.get(ALICE, claim.run.id)
        assert (stored.status, stored.cancel_reason) == (RunStatus.RUNNING, "enough")
        with pytest.raises(ThreadBusy):
            await stores.runs.create(a_run(thread_id=claim.run.thread_id))
    [wish] = await stores.leases.beat(LEASE, TTL_S)
    assert (wish.run_id, wish.action, wish.reason) == (claim.run.id, action, "enough")
    assert await stores.owned.finish(claim, STOPPED, []) is RunStatus.CANCELLED


async def test_an_interrupted_run_keeps_what_it_said(stores: Stores) -> None:
    """Question, partial answer and log stay; the answer is marked."""
    claim = await a_running_one(stores)
    await stores.runs.cancel(claim.run.id, CancelAction.INTERRUPT, "enough")
    await stores.owned.finish(claim, STOPPED, [a_row(claim.fence, 1, [TextDelta(text="!")])])
    said = await stores.threads.messages(ALICE, claim.run.thread_id, limit=9)
    assert [(message.content, message.incomplete) for message in said] == [(QUESTION, False), ("Two ye", True)]
    assert await events(stores, claim.run) == 2


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.INTERRUPTED])
async def test_a_run_that_is_rolled_back_is_as_if_it_had_never_been(stores: Stores, status: RunStatus) -> None:
    """However it ends after the wish: its row says cancelled, its bill stays, and nothing that was said is left."""
    before = await stores.answered(a_run("one"))
    claim = await stores.claimed(a_run("two", thread_id=before.thread_id))
    await stores.owned.append([a_row(claim.fence, 0, [TextDelta(text="Two ye")])])
    await stores.runs.cancel(claim.run.id, CancelAction.ROLLBACK, "enough")
    outcome = replace(STOPPED, status=status)
    assert (
        await stores.owned.finish(claim, outcome, [a_row(claim.fence, 1, [TextDelta(text="!")])]) is RunStatus.CANCELLED
    )
    stored = await stores.runs.get(ALICE, claim.run.id)
    assert (stored.status, stored.messages, stored.failure) == (RunStatus.CANCELLED, (), None)
    assert stored.usage == STOPPED.usage
    assert await stores.said(before.thread_id) == ["one", "Two years."]
    page = (await stores.log.read({claim.run.id: None}))[claim.run.id]
    assert (page.batches, page.ended) == ((), stored)
    assert (
        await stores.owned.finish(claim, ANSWERED, [a_row(claim.fence, 2, [TextDelta(text="?")])])
        is RunStatus.CANCELLED
    )
    assert await stores.said(before.thread_id) == ["one", "Two years."]
    assert await events(stores, claim.run) == 0


async def test_a_run_that_nobody_ends_is_rolled_back_by_the_sweep(stores: Stores) -> None:
    """What somebody was promised holds when the run's owner is gone for good."""
    claim = await a_running_one(stores)
    await stores.runs.cancel(claim.run.id, CancelAction.ROLLBACK, "enough")
    await stores.later(120.0)
    assert await stores.runs.sweep(overdue_s=30.0, queue_ttl_s=1e6) == 1
    stored = await stores.runs.get(ALICE, claim.run.id)
    assert (stored.status, stored.failure) == (RunStatus.CANCELLED, None)
    assert await stores.said(claim.run.thread_id) == []
    assert await events(stores, claim.run) == 0


@pytest.mark.parametrize("first", list(CancelAction))
async def test_of_two_wishes_the_rollback_counts(stores: Stores, first: CancelAction) -> None:
    """Whichever came first; the reason is the first one's."""
    second = CancelAction.ROLLBACK if first is CancelAction.INTERRUPT else CancelAction.INTERRUPT
    claim = await a_running_one(stores)
    await stores.runs.cancel(claim.run.id, first, "first")
    await stores.runs.cancel(claim.run.id, second, "second")
    [wish] = await stores.leases.beat(LEASE, TTL_S)
    assert (wish.action, wish.reason) == (CancelAction.ROLLBACK, "first")


@BOTH
@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.INTERRUPTED, RunStatus.CANCELLED])
async def test_a_run_that_is_over_stays_so(stores: Stores, action: CancelAction, status: RunStatus) -> None:
    """Cancelling it changes nothing and wakes nobody, nor does cancelling no run."""
    run = await stores.answered(a_run(), replace(ANSWERED, status=status))
    before = await stores.runs.get(ALICE, run.id)
    async with stores.listening() as heard:
        await stores.runs.cancel(run.id, action, "enough")
        await stores.runs.cancel(uuid7(), action, "enough")
        assert await heard() == set()
    assert await stores.runs.get(ALICE, run.id) == before
    assert await stores.said(run.thread_id) == [QUESTION, "Two years."]


async def test_the_next_run_of_a_thread_is_announced(stores: Stores) -> None:
    """Whatever ends a run: its owner, the ingress, a cancellation, the sweep. Where nothing waits nobody is woken."""
    async with stores.listening() as heard:
        for way in ("owner", "ingress", "cancel", "sweep"):
            for waits in (False, True):
                run = a_run()
                claim = await stores.claimed(run) if way == "owner" else None
                if claim is None:
                    await stores.runs.create(run)
                behind = a_run(thread_id=run.thread_id, timeout_s=1000.0)
                if waits:
                    await stores.runs.create(behind, ENQUEUE)
                assert await heard() == set()
                if claim is not None:
                    await stores.owned.finish(claim, ANSWERED, [])
                elif way == "ingress":
                    await stores.runs.finish(run, ANSWERED)
                elif way == "cancel":
                    await stores.runs.cancel(run.id, CancelAction.INTERRUPT, "enough")
                else:
                    await stores.later(61.0)
                    await stores.runs.sweep(overdue_s=0.0, queue_ttl_s=1e6)
                assert await heard() == ({"queued"} if waits else set()), way
                await stores.runs.cancel(behind.id, CancelAction.INTERRUPT, "enough")
                await heard()


async def test_a_webhook_is_due_when_its_run_has_ended(stores: Stores) -> None:
    """Not before, and whatever ends the run."""
    completed, rolled_back, closed, pending, swept = [a_run(str(n)) for n in range(5)]
    queued = a_run("5", background=True)
    claims = {run.id: await stores.claimed(run, TOLD) for run in (completed, rolled_back)}
    for run in (closed, pending, swept, queued):
        await stores.runs.create(run, TOLD)
    untold = await stores.answered(a_run())
    assert list(await stores.due()) == []
    await stores.owned.finish(claims[completed.id], ANSWERED, [])
    assert set(await stores.due()) == {completed.id}
    await stores.runs.cancel(rolled_back.id, CancelAction.ROLLBACK, "enough")
    assert set(await stores.due()) == {completed.id}
    await stores.owned.finish(claims[rolled_back.id], STOPPED, [])
    await stores.runs.finish(closed, ANSWERED)
    await stores.runs.cancel(pending.id, CancelAction.INTERRUPT, "enough")
    await stores.runs.cancel(queued.id, CancelAction.ROLLBACK, "enough")
    assert set(await stores.due()) == {run.id for run in (completed, rolled_back, closed, pending, queued)}
    await stores.later(61.0)
    await stores.runs.sweep(overdue_s=0.0, queue_ttl_s=1e6)
    assert set(await stores.due()) == {run.id for run in (completed, rolled_back, closed, pending, swept, queued)}
    assert untold.id not in await stores.due()


async def test_a_queued_run_goes_with_its_thread(stores: Stores) -> None:
    """A thread with nothing but a queued run can be erased; while another one runs it cannot, and the queued one stays."""
    claim = await stores.claimed(a_run())
    queued = a_run(thread_id=claim.run.thread_id)
    await stores.runs.create(queued, ENQUEUE)
    with pytest.raises(ThreadBusy):
        await stores.threads.delete(ALICE, claim.run.thread_id)
    assert (await stores.runs.get(ALICE, queued.id)).status is RunStatus.QUEUED
    await stores.owned.finish(claim, ANSWERED, [])
    await stores.threads.delete(ALICE, claim.run.thread_id)
    for run in (claim.run, queued):
        with pytest.raises(NotFound):
            await stores.runs.get(ALICE, run.id)
    assert await stores.take_queued() == []


async def test_the_sweep_frees_threads_of_lost_runs(stores: Stores) -> None:
    """A live run some time after its deadline fails; younger and finished ones stay as they are."""
    done, stuck = await stores.answered(a_run()), a_run()
    await stores.runs.create(stuck)
    await stores.later(80.0)
    assert await stores.runs.sweep(overdue_s=30.0, queue_ttl_s=1e6) == 0
    await stores.later(20.0)
    young = a_run()
    await stores.runs.create(young)
    assert await stores.runs.sweep(overdue_s=30.0, queue_ttl_s=1e6) == 1
    lost = await stores.runs.get(ALICE, stuck.id)
    assert lost.status is RunStatus.FAILED
    assert lost.failure is not None
    assert lost.failure.code == "deadline_exceeded"
    assert (await stores.runs.get(ALICE, done.id)).status is RunStatus.COMPLETED
    assert (await stores.runs.get(ALICE, young.id)).status is RunStatus.PENDING
    await stores.runs.create(a_run(thread_id=stuck.thread_id))


async def test_a_run_is_swept_by_its_own_deadline(stores: Stores) -> None:
    """A run that may take long is left alone for as long, whoever began when."""
    short, long = await stores.claimed(a_run(timeout_s=10.0)), await stores.claimed(a_run(timeout_s=500.0))
    await stores.later(100.0)
    assert await stores.runs.sweep(overdue_s=60.0, queue_ttl_s=1e6) == 1
    assert (await stores.runs.get(ALICE, short.run.id)).status is RunStatus.FAILED
    assert (await stores.runs.get(ALICE, long.run.id)).status is RunStatus.RUNNING


async def test_a_queued_run_does_not_wait_for_ever(stores: Stores) -> None:
    """A background run fails when nobody has taken it for so long, whatever its deadline; a foreground one by its deadline."""
    background = a_run(background=True, timeout_s=1.0)
    running = await stores.claimed(a_run(timeout_s=1e6))
    foreground = a_run(thread_id=running.run.thread_id, timeout_s=50.0)
    await stores.runs.create(background)
    await stores.runs.create(foreground, ENQUEUE)
    await stores.later(100.0)
    assert await stores.runs.sweep(overdue_s=60.0, queue_ttl_s=1000.0) == 0
    assert await stores.runs.sweep(overdue_s=40.0, queue_ttl_s=1000.0) == 1
    assert (await stores.runs.get(ALICE, foreground.id)).status is RunStatus.FAILED
    await stores.later(1000.0)
    assert await stores.runs.sweep(overdue_s=40.0, queue_ttl_s=1000.0) == 1
    failure = (await stores.runs.get(ALICE, background.id)).failure
    assert failure is not None
    assert "queue" in failure.message
    [claim] = [await stores.claimed(a_run(thread_id=background.thread_id))]
    assert claim.run.attempt == 1


async def test_the_age_of_the_queue_is_that_of_its_oldest_run(stores: Stores) -> None:
    """Of those in the background: nobody waits for them, so nobody else would notice."""
    assert await stores.runs.queue_age_s() == 0.0
    running = await stores.claimed(a_run(timeout_s=1e6))
    await stores.runs.create(a_run(thread_id=running.run.thread_id), ENQUEUE)
    assert await stores.runs.queue_age_s() == 0.0
    await stores.runs.create(a_run(background=True))
    await stores.later(100.0)
    await stores.runs.create(a_run(background=True))
    await stores.later(20.0)
    assert await stores.runs.queue_age_s() == pytest.approx(120.0, abs=15.0)


async def test_a_swept_run_keeps_the_bill_that_comes_late(stores: Stores) -> None:
    """A replica that was only slow finds its run failed; what it spent is recorded all the same."""
    claim = await stores.claimed(a_run())
    await stores.later(61.0)
    await stores.runs.sweep(overdue_s=0.0, queue_ttl_s=1e6)
    assert await stores.owned.finish(claim, ANSWERED, []) is RunStatus.FAILED
    assert (await stores.runs.get(ALICE, claim.run.id)).usage == ANSWERED.usage
