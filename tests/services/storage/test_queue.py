"""The queue: whose turn it is, and that each run is taken once. The same in memory and in Postgres."""

import asyncio
from datetime import timedelta

import pytest
from uuid_utils.compat import uuid7

from services.types import Multitask, Principal, Run, RunStatus, Submission
from tests.services.storage.conftest import ALICE, ANSWERED, LEASE, MALLORY, OTHER_LEASE, TTL_S, Stores, a_run

ENQUEUE = Submission(multitask=Multitask.ENQUEUE)


async def queue(stores: Stores, *texts: str, principal: Principal = ALICE, priority: int = 0) -> list[Run]:
    """Background runs in threads of their own."""
    runs = [a_run(text, principal=principal, background=True, priority=priority) for text in texts]
    for run in runs:
        assert (await stores.runs.create(run)).status is RunStatus.QUEUED
    return runs


async def taken_one_by_one(stores: Stores) -> list[str]:
    """The texts of what is queued, in the order in which one agent takes it, which ends nothing."""
    texts = []
    while claims := await stores.take_queued(limit=1):
        texts += [claim.run.messages[0].content for claim in claims]
    return texts


async def test_a_background_run_waits_for_an_agent(stores: Stores) -> None:
    """Agents are woken; the ones that take no background runs leave it; its row says what it is."""
    run = a_run(background=True, priority=5)
    async with stores.listening() as heard:
        await stores.runs.create(run)
        assert await heard() == {"queued"}
    stored = await stores.runs.get(ALICE, run.id)
    assert (stored.status, stored.background, stored.priority, stored.timeout_s) == (RunStatus.QUEUED, True, 5, 60.0)
    assert await stores.take_queued(background=False) == []
    [claim] = await stores.take_queued()
    assert (claim.run.id, claim.run.status, claim.run.background, claim.run.priority) == (
        run.id,
        RunStatus.RUNNING,
        True,
        5,
    )
    assert (claim.run.messages, claim.run.attempt, claim.crashes) == (run.messages, 1, 0)
    assert await stores.owned.finish(claim, ANSWERED, []) is RunStatus.COMPLETED


async def test_the_time_of_a_background_run_begins_with_its_agent(stores: Stores) -> None:
    """However long it has waited it has all of its time, and no more when it is taken over."""
    [run] = await queue(stores, "one")
    await stores.later(1000.0)
    [claim] = await stores.take_queued()
    assert 55.0 < claim.remaining_s <= 60.0
    assert claim.run.timeout_s == 60.0
    await stores.later(30.0)
    [again] = await stores.take_lost(uuid7())
    assert 25.0 < again.remaining_s <= 30.0
    assert again.run.timeout_s == 60.0
    assert again.run.started_at is not None
    assert again.run.created_at is not None
    assert again.run.started_at - again.run.created_at >= timedelta(seconds=999)
    assert again.run.id == run.id


async def test_the_time_of_a_foreground_run_goes_on_in_the_queue(stores: Stores) -> None:
    """A client waits for it."""
    first = await stores.claimed(a_run())
    second = a_run(thread_id=first.run.thread_id, timeout_s=60.0)
    await stores.runs.create(second, ENQUEUE)
    await stores.later(20.0)
    await stores.owned.finish(first, ANSWERED, [])
    [claim] = await stores.take_queued(background=False)
    assert 35.0 < claim.remaining_s <= 40.0


async def test_the_lowest_priority_goes_first_and_then_the_oldest(stores: Stores) -> None:
    """Within one tenant."""
    await queue(stores, "late 1", "late 2", priority=2)
    await queue(stores, "normal 1", "normal 2")
    await queue(stores, "urgent 1", "urgent 2", priority=-1)
    assert await taken_one_by_one(stores) == ["urgent 1", "urgent 2", "normal 1", "normal 2", "late 1", "late 2"]


async def test_tenants_take_turns(stores: Stores) -> None:
    """Whoever has less at work goes first, so a long queue of one tenant does not keep another waiting."""
    await queue(stores, "a1", "a2", "a3", "a4")
    await queue(stores, "m1", "m2", principal=MALLORY)
    assert await taken_one_by_one(stores) == ["a1", "m1", "a2", "m2", "a3", "a4"]


async def test_what_is_taken_together_is_shared_out(stores: Stores) -> None:
    """Taken in one go the runs are those that would have been taken one by one."""
    await queue(stores, "a1", "a2", "a3", "a4")
    await queue(stores, "m1", "m2", principal=MALLORY)
    assert {claim.run.messages[0].content for claim in await stores.take_queued(limit=3)} == {"a1", "m1", "a2"}


async def test_whatever_a_tenant_has_at_work_counts(stores: Stores) -> None:
    """Runs that clients wait for too; priorities are among a tenant's own runs, and decide where tenants have as much."""
    for _ in range(2):
        await stores.claimed(a_run())
    await queue(stores, "a1", "a2")
    await queue(stores, "a0", priority=-1)
    await queue(stores, "m1", "m2", "m3", principal=MALLORY)
    assert await taken_one_by_one(stores) == ["m1", "m2", "a0", "m3", "a1", "a2"]


async def test_what_a_client_waits_for_goes_before_the_background(stores: Stores) -> None:
    """Whatever the priorities."""
    first = await stores.claimed(a_run("one"))
    await queue(stores, "background", priority=-9)
    await stores.runs.create(a_run("foreground", thread_id=first.run.thread_id), ENQUEUE)
    await stores.owned.finish(first, ANSWERED, [])
    assert await taken_one_by_one(stores) == ["foreground", "background"]


async def test_a_thread_keeps_its_order(stores: Stores) -> None:
    """A background run waits for the older ones of its thread, whatever its priority, and keeps younger ones waiting."""
    [first] = await queue(stores, "one")
    second = a_run("two", thread_id=first.thread_id, background=True, priority=-5)
    third = a_run("three", thread_id=first.thread_id)
    for run in (second, third):
        assert (await stores.runs.create(run, ENQUEUE)).status is RunStatus.QUEUED
    assert await stores.take_queued(background=False) == []
    for run in (first, second, third):
        [claim] = await stores.take_queued()
        assert claim.run.id == run.id
        await stores.owned.finish(claim, ANSWERED, [])


async def test_each_queued_run_goes_to_one_agent(stores: Stores) -> None:
    """Sixteen replicas take at the same moment, again and again: nothing twice, nothing left."""
    runs = await queue(stores, *map(str, range(40)))
    leases = [uuid7() for _ in range(16)]
    taken = []
    for _ in range(2):
        claims = await asyncio.gather(*(stores.take_queued(lease, limit=2) for lease in leases))
        taken += [claim.run.id for of_one in claims for claim in of_one]
    taken += [claim.run.id for claim in await stores.take_queued()]
    assert sorted(taken) == sorted(run.id for run in runs)


async def test_a_place_in_the_queue_is_told(stores: Stores) -> None:
    """How many are taken before it, which agrees with the order in which they are; None for one that does not wait."""
    runs = await queue(stores, "a1", "a2", "a3")
    runs += await queue(stores, "m1", principal=MALLORY)
    runs += await queue(stores, "a0", priority=-1)
    places = {run.messages[0].content: await stores.runs.position(run) for run in runs}
    order = await taken_one_by_one(stores)
    assert places == {text: place for place, text in enumerate(order)}
    assert {await stores.runs.position(run) for run in runs} == {None}
    assert await stores.runs.position(a_run()) is None


async def test_the_place_of_a_waiting_turn_is_that_in_its_thread(stores: Stores) -> None:
    """What waits elsewhere does not stand in its way, and a background run waits for its thread too."""
    await queue(stores, "elsewhere")
    other = await stores.claimed(a_run())
    await stores.runs.create(a_run(thread_id=other.run.thread_id), ENQUEUE)
    first = await stores.claimed(a_run())
    behind = [a_run(thread_id=first.run.thread_id) for _ in range(3)]
    for run in behind:
        await stores.runs.create(run, ENQUEUE)
    background = a_run(thread_id=first.run.thread_id, background=True, priority=-1)
    await stores.runs.create(background, ENQUEUE)
    assert [await stores.runs.position(run) for run in behind] == [0, 1, 2]
    assert await stores.runs.position(background) == 3


@pytest.mark.parametrize("background", [True, False])
async def test_an_agent_takes_no_more_than_it_asks_for(stores: Stores, background: bool) -> None:
    """The rest is still there for the next one."""
    await queue(stores, *map(str, range(5)))
    await stores.leases.beat(LEASE, TTL_S)
    first = await stores.leases.take_queued(LEASE, limit=3, background=background)
    assert len(first) == (3 if background else 0)
    assert len(await stores.take_queued(OTHER_LEASE)) == 5 - len(first)
