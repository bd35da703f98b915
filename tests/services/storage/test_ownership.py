"""Who owns a run, and what others can write of it: the same in memory and in Postgres."""

import asyncio
from dataclasses import replace

import pytest
from uuid_utils.compat import uuid7

from services.errors import NotFound, RunSuperseded
from services.events import RunEvent, TextDelta
from services.runs.log_writer import LogRow
from services.storage.runs import SUSPICION_S
from services.types import (
    CancelAction,
    Cancellation,
    Claim,
    EventId,
    Message,
    OnDisconnect,
    Progress,
    RunOutcome,
    RunStatus,
    Usage,
)
from tests.services.storage.conftest import ALICE, ANSWERED, LEASE, OTHER_LEASE, TTL_S, Stores, a_row, a_run

LOST = RunOutcome(status=RunStatus.FAILED, messages=(), usage=Usage())


def said(claim: Claim, first_seq: int, *texts: str) -> LogRow:
    """A row of the log."""
    events: list[RunEvent] = [TextDelta(text=text) for text in texts]
    return a_row(claim.fence, first_seq, events)


async def logged(stores: Stores, claim: Claim) -> list[str]:
    """The texts in a run's log."""
    page = (await stores.log.read({claim.run.id: None}))[claim.run.id]
    return [event.text for batch in page.batches for event in batch.events if isinstance(event, TextDelta)]


async def test_an_end_comes_with_the_last_events(stores: Stores) -> None:
    """What the owner had not logged yet is in the log once the end is, and appending it again changes nothing."""
    claim = await stores.claimed(a_run())
    first, last = said(claim, 0, "a", "b"), said(claim, 2, "c")
    assert await stores.owned.append([first]) == set()
    assert await stores.owned.append([first]) == set()
    assert await stores.owned.finish(claim, ANSWERED, [first, last]) is RunStatus.COMPLETED
    assert await logged(stores, claim) == ["a", "b", "c"]


async def test_a_stale_owner_ends_nothing(stores: Stores) -> None:
    """Once a run was taken over its first owner's end is refused: status, answer, bill and log are the second's."""
    first = await stores.claimed(a_run())
    [second] = await stores.taken_over()
    with pytest.raises(RunSuperseded):
        await stores.owned.finish(first, replace(ANSWERED, usage=Usage(input_tokens=99)), [said(first, 0, "stale")])
    stored = await stores.runs.get(ALICE, first.run.id)
    assert (stored.status, stored.usage, stored.attempt) == (RunStatus.RUNNING, Usage(), 2)
    assert await logged(stores, first) == []
    assert len(await stores.said(first.run.thread_id)) == 1
    assert await stores.owned.finish(second, ANSWERED, [said(second, 0, "fresh")]) is RunStatus.COMPLETED
    with pytest.raises(RunSuperseded):
        await stores.owned.finish(first, LOST, [said(first, 0, "stale")])
    assert await logged(stores, first) == ["fresh"]
    assert (await stores.runs.get(ALICE, first.run.id)).usage == ANSWERED.usage


async def test_an_owner_whose_run_was_closed_still_pays_and_answers(stores: Stores) -> None:
    """The end that the ingress wrote stays, the owner's events do not come in; its usage and its text do."""
    claim = await stores.claimed(a_run())
    await stores.runs.finish(claim.run, LOST)
    assert await stores.owned.finish(claim, ANSWERED, [said(claim, 0, "late")]) is RunStatus.FAILED
    stored = await stores.runs.get(ALICE, claim.run.id)
    assert (stored.status, stored.finish_reason, stored.usage) == (RunStatus.FAILED, None, ANSWERED.usage)
    assert await logged(stores, claim) == []
    assert await stores.said(claim.run.thread_id) == ["How long is the warranty?", "Two years."]


async def test_one_of_two_ends_at_once_counts(stores: Stores) -> None:
    """Owner and ingress end a run at the same moment: both are told the same, and the log agrees with it."""
    for _ in range(20):
        claim = await stores.claimed(a_run())
        told = await asyncio.gather(
            stores.owned.finish(claim, ANSWERED, [said(claim, 0, "end")]), stores.runs.finish(claim.run, LOST)
        )
        stored = await stores.runs.get(ALICE, claim.run.id)
        assert set(told) == {stored.status}
        assert await logged(stores, claim) == (["end"] if stored.status is RunStatus.COMPLETED else [])


async def test_the_end_of_an_erased_run_is_no_error(stores: Stores) -> None:
    """Its owner is told what it wanted to write."""
    claim = await stores.claimed(a_run())
    await stores.runs.finish(claim.run, LOST)
    await stores.threads.delete(ALICE, claim.run.thread_id)
    assert await stores.owned.finish(claim, ANSWERED, [said(claim, 0, "late")]) is RunStatus.COMPLETED


async def test_the_log_is_closed_to_whoever_lost_the_run(stores: Stores) -> None:
    """Of one append the rows of held runs are stored; taken over, ended and unknown runs are named, and theirs are not."""
    held, ended = await stores.claimed(a_run()), await stores.claimed(a_run())
    await stores.owned.finish(ended, ANSWERED, [])
    lost = await stores.claimed(a_run(), lease=OTHER_LEASE)
    await stores.later(TTL_S + 1)
    await stores.leases.beat(LEASE, TTL_S)
    [taken] = await stores.take_lost(LEASE)
    unknown = replace(held, run=replace(held.run, id=uuid7()))
    claims = (held, ended, lost, taken, unknown)
    refused = await stores.owned.append([row for claim in claims for row in (said(claim, 0, "a"), said(claim, 1, "b"))])
    assert set(refused) >= {ended.run.id, lost.run.id, unknown.run.id}
    assert held.run.id not in refused
    assert await logged(stores, held) == ["a", "b"]
    assert await logged(stores, ended) == []
    attempts = {batch.attempt for batch in (await stores.log.read({lost.run.id: None}))[lost.run.id].batches}
    assert attempts == {2}


async def test_a_lost_run_goes_to_somebody_else(stores: Stores) -> None:
    """While its owner's lease is held nobody takes it; afterwards one does, once, as another attempt."""
    first = await stores.claimed(a_run())
    assert await stores.take_lost() == []
    await stores.later(TTL_S + 1)
    assert await stores.take_lost(LEASE) == []  # its own, of which it still has hold
    await stores.later(TTL_S + 1)
    [second] = await stores.take_lost()
    assert (second.run.id, second.run.attempt, second.crashes) == (first.run.id, 2, 1)
    assert second.run.messages == first.run.messages
    assert second.run.started_at is not None
    assert second.remaining_s < first.remaining_s - TTL_S
    assert await stores.take_lost(uuid7()) == []


async def test_an_owner_that_never_beat_has_no_lease(stores: Stores) -> None:
    """A run whose owner is not among the leases is lost."""
    run = a_run()
    await stores.runs.create(run)
    await stores.owned.claim(run.id, LEASE)
    assert len(await stores.take_lost()) == 1


async def test_owners_lost_are_counted_until_the_run_progresses(stores: Stores) -> None:
    """Each take-over from a lost owner is a crash; what was stored with a checkpoint comes along, and the count begins anew."""
    claim = await stores.claimed(a_run())
    crashes = []
    for _ in range(3):
        [claim] = await stores.taken_over(uuid7())
        crashes.append(claim.crashes)
    assert crashes == [1, 2, 3]
    progress = Progress(event_id=EventId(attempt=4, seq=7), usage=Usage(input_tokens=5, model_calls=1), said="Two \x00")
    await stores.progressed(claim.run, progress)
    [claim] = await stores.taken_over(uuid7())
    assert claim.crashes == 1
    assert claim.progress is not None
    assert replace(claim.progress, said="") == replace(progress, said="")


async def test_a_pending_run_is_taken_when_no_agent_comes(stores: Stores) -> None:
    """Its ingress died before it sent the ticket: after the pick-up time another agent takes it, and no crash is counted."""
    run = a_run()
    await stores.runs.create(run)
    await stores.later(3.0)
    assert await stores.take_lost(LEASE, pickup_s=5.0) == []
    await stores.later(3.0)
    [claim] = await stores.take_lost(LEASE, pickup_s=5.0)
    assert (claim.run.id, claim.run.attempt, claim.crashes) == (run.id, 1, 0)
    with pytest.raises(NotFound):
        await stores.owned.claim(run.id, OTHER_LEASE)


async def test_nothing_is_taken_from_a_store_that_has_just_started(stores: Stores) -> None:
    """It has not heard from anybody yet."""
    await stores.claimed(a_run())
    await stores.later(TTL_S + 1)
    await stores.leases.beat(OTHER_LEASE, TTL_S)
    assert list(await stores.leases.take_over(OTHER_LEASE, limit=9, pickup_s=0.0, settle_s=1e7)) == []
    assert len(await stores.leases.take_over(OTHER_LEASE, limit=9, pickup_s=0.0, settle_s=0.0)) == 1


async def test_whoever_holds_no_lease_takes_nothing(stores: Stores) -> None:
    """Neither before the first heartbeat, nor when the lease is over or was given up: what it took would be lost at once."""
    await stores.claimed(a_run())
    await stores.runs.create(a_run(background=True))
    await stores.later(TTL_S + 1)

    async def taken() -> int:
        lost = await stores.leases.take_over(OTHER_LEASE, limit=9, pickup_s=0.0, settle_s=0.0)
        queued = await stores.leases.take_queued(OTHER_LEASE, limit=9, background=True)
        return len(lost) + len(queued)

    assert await taken() == 0
    await stores.leases.beat(OTHER_LEASE, TTL_S)
    await stores.later(TTL_S + 1)
    assert await taken() == 0
    await stores.leases.beat(OTHER_LEASE, TTL_S)
    await stores.leases.release(OTHER_LEASE)
    await stores.later(0.001)
    assert await taken() == 0
    await stores.leases.beat(OTHER_LEASE, TTL_S)
    assert await taken() == 2


async def test_the_oldest_runs_are_taken_first(stores: Stores) -> None:
    """A replica takes no more than it has room for, the others are still to be had, and no crash is counted for them."""
    runs = [(await stores.claimed(a_run(str(n)))).run.id for n in range(4)]
    await stores.later(TTL_S + 1)
    first = await stores.take_lost(limit=3)
    assert {claim.run.id for claim in first} == set(runs[:3])
    [last] = await stores.take_lost(uuid7(), limit=3)
    assert (last.run.id, last.crashes) == (runs[3], 1)


async def test_a_lost_run_goes_to_one_of_many(stores: Stores) -> None:
    """Sixteen replicas look at the same moment: each of twenty runs goes to one of them."""
    for _ in range(6):
        runs = {(await stores.claimed(a_run())).run.id for _ in range(20)}
        await stores.later(TTL_S + 1)
        taken = await asyncio.gather(*(stores.take_lost(uuid7(), limit=4) for _ in range(16)))
        ids = [claim.run.id for claims in taken for claim in claims]
        assert len(ids) == len(set(ids))
        ids += [claim.run.id for claim in await stores.take_lost()]
        assert sorted(ids) == sorted(runs)
        for run_id in runs:
            await stores.runs.finish(await stores.runs.get(ALICE, run_id), LOST)


async def test_a_heartbeat_brings_what_is_to_be_stopped(stores: Stores) -> None:
    """Of the lease's own runs, each time until they have ended."""
    mine, kept = await stores.claimed(a_run()), await stores.claimed(a_run())
    others = await stores.claimed(a_run(), lease=OTHER_LEASE)
    for claim in (mine, others):
        await stores.runs.cancel(claim.run.id, CancelAction.INTERRUPT, "client_disconnected")
    wish = Cancellation(run_id=mine.run.id, action=CancelAction.INTERRUPT, reason="client_disconnected")
    for _ in range(2):
        assert list(await stores.leases.beat(LEASE, TTL_S)) == [wish]
    await stores.owned.finish(mine, replace(ANSWERED, status=RunStatus.CANCELLED), [])
    assert list(await stores.leases.beat(LEASE, TTL_S)) == []
    assert (await stores.runs.get(ALICE, kept.run.id)).status is RunStatus.RUNNING


async def test_whoever_takes_a_run_over_is_told_that_it_is_to_stop(stores: Stores) -> None:
    """A wish outlives the owner that it was meant for."""
    claim = await stores.claimed(a_run())
    await stores.runs.cancel(claim.run.id, CancelAction.ROLLBACK, "enough")
    await stores.taken_over()
    [wish] = await stores.leases.beat(OTHER_LEASE, TTL_S)
    assert wish == Cancellation(run_id=claim.run.id, action=CancelAction.ROLLBACK, reason="enough")


async def test_a_suspected_owner_has_until_its_next_heartbeat(stores: Stores) -> None:
    """Its runs can be had a little after that, long before its lease is over; one that is alive keeps them."""
    claim = await stores.claimed(a_run())
    await stores.runs.suspect(claim.run.id)
    await stores.leases.beat(LEASE, TTL_S)
    await stores.later(SUSPICION_S + 0.1)
    assert await stores.take_lost() == []
    await stores.runs.suspect(claim.run.id)
    assert len(await stores.take_lost()) == 1


async def test_suspecting_nobody_does_nothing(stores: Stores) -> None:
    """A run that is not there, has no owner yet, or has ended."""
    run = a_run()
    await stores.runs.suspect(run.id)
    await stores.runs.create(run)
    await stores.runs.suspect(run.id)
    claim, ended = await stores.claimed(a_run()), await stores.claimed(a_run())
    await stores.owned.finish(ended, ANSWERED, [])
    await stores.runs.suspect(ended.run.id)
    await stores.later(SUSPICION_S + 0.1)
    assert await stores.take_lost() == []
    assert (await stores.runs.get(ALICE, claim.run.id)).status is RunStatus.RUNNING


async def test_a_lease_can_be_given_up(stores: Stores) -> None:
    """Whoever stops with runs left has the others woken, and they take them at once."""
    claim = await stores.claimed(a_run())
    async with stores.listening() as heard:
        await stores.leases.release(LEASE)
        assert await heard() == {"queued"}
        await stores.later(0.001)
        [taken] = await stores.take_lost()
        assert taken.run.id == claim.run.id
        await stores.leases.release(LEASE)
        await stores.leases.release(uuid7())
        assert await heard() == set()


async def test_a_reader_of_the_log_is_known_for_a_while(stores: Stores) -> None:
    """Whoever reads a run says so, and it counts for as long as is asked."""
    watched, alone = await stores.claimed(a_run()), await stores.claimed(a_run())
    assert not await stores.owned.watched(watched.run.id, 5.0)
    await stores.log.watch([watched.run.id, uuid7()])
    assert await stores.owned.watched(watched.run.id, 5.0)
    assert not await stores.owned.watched(alone.run.id, 5.0)
    assert not await stores.owned.watched(uuid7(), 5.0)
    await stores.later(6.0)
    assert not await stores.owned.watched(watched.run.id, 5.0)


async def test_an_outcome_may_come_without_messages(stores: Stores) -> None:
    """A run that said nothing ends all the same, and its question stays."""
    run = replace(a_run(), on_disconnect=OnDisconnect.CONTINUE)
    claim = await stores.claimed(run)
    assert await stores.owned.finish(claim, replace(ANSWERED, messages=()), []) is RunStatus.COMPLETED
    said = await stores.threads.messages(ALICE, run.thread_id, limit=9)
    assert said == [Message(role="user", content="How long is the warranty?")]
