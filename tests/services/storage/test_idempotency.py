"""A request may be sent again: the same in memory and in Postgres."""

import asyncio
from dataclasses import replace

import pytest

from services.errors import IdempotencyMismatch, NotFound, ThreadBusy
from services.runs.ports import Created
from services.storage.run_creation import KEY_TTL_S
from services.types import IdempotencyKey, Multitask, RunStatus, Submission
from tests.services.storage.conftest import ALICE, ANSWERED, BOB, MALLORY, Stores, a_run

ONE, OTHER = bytes(32), bytes([1]) * 32


def keyed(key: str = "k", digest: bytes = ONE, multitask: Multitask = Multitask.REJECT) -> Submission:
    return Submission(multitask=multitask, idempotency=IdempotencyKey(key=key, digest=digest))


async def test_a_request_that_is_sent_again_finds_its_run(stores: Stores) -> None:
    """As it stands by then; nothing else is stored, in a new thread or in one that is there."""
    first = a_run()
    assert await stores.runs.create(first, keyed()) == Created(run_id=first.id, status=RunStatus.PENDING)
    for status in (RunStatus.PENDING, RunStatus.COMPLETED):
        again = a_run()
        known = Created(run_id=first.id, status=status, existing=True)
        assert await stores.runs.create(again, keyed()) == known
        with pytest.raises(NotFound):
            await stores.runs.get(ALICE, again.id)
        with pytest.raises(NotFound):
            await stores.threads.get(ALICE, again.thread_id)
        await stores.runs.finish(first, ANSWERED)
    second = a_run(thread_id=first.thread_id)
    await stores.runs.create(second, keyed("k2"))
    touched_at = (await stores.threads.get(ALICE, first.thread_id)).updated_at
    assert (await stores.runs.create(a_run(thread_id=first.thread_id), keyed("k2"))).existing
    assert (await stores.threads.get(ALICE, first.thread_id)).updated_at == touched_at


@pytest.mark.parametrize("strategy", list(Multitask))
async def test_sending_again_stops_nothing(stores: Stores, strategy: Multitask) -> None:
    """The run that a request has asked for is not in its own way."""
    before = await stores.answered(a_run())
    first = a_run(thread_id=before.thread_id)
    await stores.runs.create(first, keyed(multitask=strategy))
    again = await stores.runs.create(a_run(thread_id=before.thread_id), keyed(multitask=strategy))
    assert again == Created(run_id=first.id, status=RunStatus.PENDING, existing=True)
    assert (await stores.runs.get(ALICE, first.id)).cancel_reason is None


async def test_a_key_stands_for_one_request(stores: Stores) -> None:
    """With another digest it is refused, and the first request's run goes on as it was."""
    first = a_run()
    await stores.runs.create(first, keyed())
    other = a_run()
    with pytest.raises(IdempotencyMismatch):
        await stores.runs.create(other, keyed(digest=OTHER))
    with pytest.raises(NotFound):
        await stores.threads.get(ALICE, other.thread_id)
    assert (await stores.runs.create(a_run(), keyed())).run_id == first.id


async def test_a_key_is_its_users_own(stores: Stores) -> None:
    """Another user's and another tenant's key of the same name is another key."""
    runs = [a_run(principal=principal) for principal in (ALICE, BOB, MALLORY)]
    for run in runs:
        assert await stores.runs.create(run, keyed(digest=run.id.bytes * 2)) == Created(
            run_id=run.id, status=RunStatus.PENDING
        )


async def test_a_key_is_forgotten_after_a_day(stores: Stores) -> None:
    """Then it may stand for another request; a little earlier it may not."""
    first, second = a_run(), a_run()
    await stores.runs.create(first, keyed())
    await stores.later(KEY_TTL_S - 60.0)
    assert (await stores.runs.create(second, keyed())).existing
    await stores.later(120.0)
    assert not (await stores.runs.create(second, keyed(digest=OTHER))).existing
    assert (await stores.runs.create(a_run(), keyed(digest=OTHER))).run_id == second.id


async def test_a_refused_request_may_be_sent_again(stores: Stores) -> None:
    """A key is not used up by a request that was not taken in."""
    first = a_run()
    await stores.runs.create(first)
    second = a_run(thread_id=first.thread_id)
    with pytest.raises(ThreadBusy):
        await stores.runs.create(second, keyed())
    await stores.runs.finish(first, ANSWERED)
    assert not (await stores.runs.create(second, keyed())).existing


async def test_a_key_goes_with_its_thread(stores: Stores) -> None:
    """After the thread was erased the same request begins anew."""
    first = a_run()
    await stores.runs.create(first, keyed())
    await stores.runs.finish(first, ANSWERED)
    await stores.threads.delete(ALICE, first.thread_id)
    second = a_run()
    assert await stores.runs.create(second, keyed()) == Created(run_id=second.id, status=RunStatus.PENDING)


@pytest.mark.parametrize("new_thread", [True, False])
@pytest.mark.parametrize("strategy", list(Multitask))
async def test_a_request_that_is_sent_fifty_times_at_once_is_one_run(
    stores: Stores, new_thread: bool, strategy: Multitask
) -> None:
    """All are given the same run, which one of them has made."""
    thread_id = None if new_thread else (await stores.answered(a_run())).thread_id
    runs = [a_run(thread_id=thread_id) for _ in range(50)]
    results = await asyncio.gather(*(stores.runs.create(run, keyed(multitask=strategy)) for run in runs))
    assert len({result.run_id for result in results}) == 1
    assert [result.existing for result in results].count(False) == 1
    assert {result.status for result in results} == {RunStatus.PENDING}
    made = await stores.runs.get(ALICE, results[0].run_id)
    assert made == replace(next(run for run in runs if run.id == made.id), new_thread=False, created_at=made.created_at)


async def test_many_different_requests_with_one_key_are_one_run(stores: Stores) -> None:
    """Sent at once with other digests: one is taken, the others are told that the key is used."""
    results = await asyncio.gather(
        *(stores.runs.create(a_run(), keyed(digest=bytes([n]) * 32)) for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, Created) for result in results) == 1
    assert sum(isinstance(result, IdempotencyMismatch) for result in results) == 19
