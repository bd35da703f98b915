"""What every store of quotas promises, whatever it is made of."""

import asyncio

import pytest
from uuid_utils.compat import uuid7

from services.limits.quota import Charge, Quota
from services.limits.stores import ANY_NUMBER, Slots
from tests.services.limits.conftest import QuotaStores

HOURLY = Quota(limit=10, window_s=3_600.0)
"""So slow that nothing comes back while a test runs."""
TTL_S = 15.0


def one(key: bytes = b"alice", *, units: float = 1.0, quota: Quota = HOURLY) -> Charge:
    return Charge(key=key, quota=quota, units=units)


async def test_a_full_bucket_gives_its_limit_and_no_more(quota_stores: QuotaStores) -> None:
    taken = [await quota_stores.rates.take([one()]) for _ in range(11)]
    assert [each.admitted for each in taken] == [True] * 10 + [False]
    assert [each.readings[0].remaining for each in taken[:3]] == [9, 8, 7]
    assert taken[-1].readings[0].remaining == 0


async def test_what_was_taken_comes_back_evenly(quota_stores: QuotaStores) -> None:
    """Ten an hour: one is back after six minutes, and not a second."""
    await quota_stores.rates.take([one(units=10)])
    refused = await quota_stores.rates.take([one()])
    assert not refused.admitted
    assert refused.readings[0].retry_after_s == pytest.approx(360.0, abs=0.0 if quota_stores.exact else 5.0)
    await quota_stores.later(refused.readings[0].retry_after_s)
    assert (await quota_stores.rates.take([one()])).admitted
    assert not (await quota_stores.rates.take([one()])).admitted


async def test_buckets_are_charged_all_or_none(quota_stores: QuotaStores) -> None:
    """One that is empty keeps the other from being charged, whichever comes first."""
    await quota_stores.rates.take([one(b"full", units=10)])
    for charges in ([one(b"alice"), one(b"full")], [one(b"full"), one(b"alice")]):
        refused = await quota_stores.rates.take(charges)
        assert not refused.admitted
        assert refused.tightest is not None
        assert refused.tightest.charge.key == b"full"
    untouched = await quota_stores.rates.take([one(b"alice", units=10)])
    assert untouched.admitted


async def test_a_charge_beyond_the_whole_quota_wants_a_full_bucket(quota_stores: QuotaStores) -> None:
    assert (await quota_stores.rates.take([one(units=1_000)])).admitted
    assert not (await quota_stores.rates.take([one()])).admitted
    await quota_stores.later(3_600.0)
    assert (await quota_stores.rates.take([one()])).admitted
    assert not (await quota_stores.rates.take([one(units=1_000)])).admitted


async def test_a_bill_may_leave_a_bucket_in_debt(quota_stores: QuotaStores) -> None:
    """Fifteen of ten: the next is to be had when six are back."""
    await quota_stores.rates.settle([one(units=15)])
    refused = await quota_stores.rates.take([one()])
    assert not refused.admitted
    assert refused.readings[0].remaining == 0
    assert refused.readings[0].retry_after_s == pytest.approx(6 * 360.0, abs=0.0 if quota_stores.exact else 5.0)


async def test_a_bill_may_give_back(quota_stores: QuotaStores) -> None:
    """What is given back is there at once; more than was taken does not make the bucket larger."""
    await quota_stores.rates.take([one(units=10)])
    await quota_stores.rates.settle([one(units=-4)])
    assert (await quota_stores.rates.take([one(units=4)])).admitted
    assert not (await quota_stores.rates.take([one()])).admitted
    await quota_stores.rates.settle([one(units=-400)])
    assert not (await quota_stores.rates.take([one(units=10), one(b"bob", units=0)])).readings[0].remaining
    assert not (await quota_stores.rates.take([one()])).admitted


async def test_another_quota_holds_at_once(quota_stores: QuotaStores) -> None:
    """A policy that changes needs no bucket to be emptied: what was taken is a time, whatever the quota."""
    await quota_stores.rates.take([one(units=10)])
    more = await quota_stores.rates.take([one(quota=Quota(limit=10, window_s=7_200.0))])
    assert more.admitted


async def test_many_at_once_get_no_more_than_there_is(quota_stores: QuotaStores) -> None:
    """Forty who come at the same moment, for a bucket that nobody has used yet, and for two of them in both orders."""
    pair = [one(b"alice"), one(b"acme")]
    taken = await asyncio.gather(*(quota_stores.rates.take(pair if n % 2 else pair[::-1]) for n in range(40)))
    assert sum(each.admitted for each in taken) == 10


async def test_slots_are_held_until_they_are_released(quota_stores: QuotaStores) -> None:
    wanted = [Slots(key=b"alice", limit=2)]
    first, second, third = uuid7(), uuid7(), uuid7()
    assert await quota_stores.slots.acquire(first, wanted, TTL_S) is None
    assert await quota_stores.slots.acquire(second, wanted, TTL_S) is None
    assert await quota_stores.slots.acquire(third, wanted, TTL_S) == wanted[0]
    await quota_stores.slots.release([first, uuid7()])
    assert await quota_stores.slots.acquire(third, wanted, TTL_S) is None


async def test_slots_are_acquired_all_or_none(quota_stores: QuotaStores) -> None:
    """The user has a slot and the tenant none: then the user's stays free."""
    tenant, user = Slots(key=b"acme", limit=1), Slots(key=b"alice", limit=1)
    assert await quota_stores.slots.acquire(uuid7(), [tenant], TTL_S) is None
    assert await quota_stores.slots.acquire(uuid7(), [user, tenant], TTL_S) == tenant
    assert await quota_stores.slots.acquire(uuid7(), [user], TTL_S) is None


async def test_a_holder_that_renews_keeps_its_slot_and_one_that_is_dead_loses_it(quota_stores: QuotaStores) -> None:
    wanted = [Slots(key=b"alice", limit=2)]
    alive, dead = uuid7(), uuid7()
    for holder in (alive, dead):
        await quota_stores.slots.acquire(holder, wanted, TTL_S)
    for _ in range(2):
        await quota_stores.later(10.0)
        assert set(await quota_stores.slots.renew([alive, uuid7()], TTL_S)) == {alive}
    assert await quota_stores.slots.acquire(uuid7(), wanted, TTL_S) is None
    assert await quota_stores.slots.acquire(uuid7(), wanted, TTL_S) == wanted[0]


async def test_a_slot_that_was_lost_does_not_come_back(quota_stores: QuotaStores) -> None:
    wanted = [Slots(key=b"alice", limit=1)]
    late, next_one = uuid7(), uuid7()
    await quota_stores.slots.acquire(late, wanted, TTL_S)
    await quota_stores.later(TTL_S + 1)
    assert not await quota_stores.slots.renew([late], TTL_S)
    assert await quota_stores.slots.acquire(next_one, wanted, TTL_S) is None
    await quota_stores.slots.release([late])
    assert await quota_stores.slots.acquire(uuid7(), wanted, TTL_S) == wanted[0]


async def test_somebody_may_have_a_slot_whatever_the_others_hold(quota_stores: QuotaStores) -> None:
    """And counts from then on."""
    wanted = Slots(key=b"alice", limit=1)
    holders = [uuid7() for _ in range(3)]
    for holder in holders:
        assert await quota_stores.slots.acquire(holder, [Slots(key=b"alice", limit=ANY_NUMBER)], TTL_S) is None
    await quota_stores.slots.release(holders[:2])
    assert await quota_stores.slots.acquire(uuid7(), [wanted], TTL_S) == wanted


async def test_a_lower_limit_holds_at_once(quota_stores: QuotaStores) -> None:
    """Those who hold one keep it; nobody else comes until there are fewer than the new limit."""
    holders = [uuid7() for _ in range(3)]
    for holder in holders:
        await quota_stores.slots.acquire(holder, [Slots(key=b"alice", limit=3)], TTL_S)
    lower = Slots(key=b"alice", limit=1)
    assert await quota_stores.slots.acquire(uuid7(), [lower], TTL_S) == lower
    await quota_stores.slots.release(holders[:1])
    assert await quota_stores.slots.acquire(uuid7(), [lower], TTL_S) == lower
    await quota_stores.slots.release(holders[1:])
    assert await quota_stores.slots.acquire(uuid7(), [lower], TTL_S) is None


async def test_many_at_once_are_all_let_in_where_there_is_room(quota_stores: QuotaStores) -> None:
    """Nobody is refused because others come at the same moment, for slots that nobody has used yet."""
    wanted = [Slots(key=b"alice", limit=1_000), Slots(key=b"acme", limit=10_000)]
    refused = await asyncio.gather(*(quota_stores.slots.acquire(uuid7(), wanted, TTL_S) for _ in range(100)))
    assert refused == [None] * 100


async def test_many_at_once_hold_no_more_slots_than_there_are(quota_stores: QuotaStores) -> None:
    """Sixty who come at the same moment and try until they know: exactly the limit holds one, beyond the first rows too."""
    wanted = [Slots(key=b"alice", limit=30), Slots(key=b"acme", limit=25)]

    async def acquired() -> bool:
        return await quota_stores.slots.acquire(uuid7(), wanted, TTL_S) is None

    held = sum(await asyncio.gather(*(acquired() for _ in range(60))))
    while held < 25 and await acquired():
        held += 1
    assert held == 25
    assert not await acquired()
