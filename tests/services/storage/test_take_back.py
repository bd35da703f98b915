"""Runs that the store has given to a replica which was not told, in memory and in Postgres."""

from uuid import uuid4

from tests.services.storage.conftest import LEASE, OTHER_LEASE, Stores, a_run


async def test_a_run_that_its_owner_does_not_know_of_is_taken_anew(stores: Stores) -> None:
    """It is a new attempt, counted as a crash; one that is held, or was begun just now, or is another's, is left alone."""
    held, unknown = [(await stores.claimed(a_run())).run for _ in range(2)]
    others = (await stores.claimed(a_run(), lease=OTHER_LEASE)).run
    assert list(await stores.leases.take_back(LEASE, held=[held.id], begun_before_s=10.0)) == []
    await stores.later(11.0)
    [claim] = await stores.leases.take_back(LEASE, held=[held.id, uuid4()], begun_before_s=10.0)
    assert (claim.run.id, claim.run.attempt, claim.crashes) == (unknown.id, 2, 1)
    assert claim.run.messages == unknown.messages
    assert others.id not in {run.run.id for run in await stores.leases.take_back(LEASE, held=[], begun_before_s=0.0)}
