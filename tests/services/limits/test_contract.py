"""What every store of quotas promises, whatever it is made of."""

import asyncio
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.limits.quota import Charge, Quota
from services.limits.stores import ANY_NUMBER, Slots
from tests.services.limits.conftest import Quotas

HOURLY = Quota(limit=10, window_s=3_600.0)
"""So slow that nothing comes back while a test runs."""
TTL_S = 15.0


def one(key: bytes = b"alice", *, units: float = 1.0, quota: Quota = HOURLY) -> Charge:
    return Charge(key=key, quota=quota, units=units)


async def test_a_full_bucket_gives_its_limit_and_no_more(quotas: Quotas) -> None:
    taken = [await quotas.take([one()]) for _ in range(11)]
    assert [each.admitted for each in taken] == [True] * 10 + [False]
    assert [each.readings[0].remaining for each in taken[:3]] == [9, 8, 7]
    assert taken[-1].readings[0].remaining == 0


async def test_a_bucket_gives_its_burst_at_once_and_then_its_rate(quotas: Quotas) -> None:
    """Ten an hour, three at once."""
    charge = one(quota=Quota(limit=10, window_s=3_600.0, burst=3))
    assert [(await quotas.take([charge])).admitted for _ in range(4)] == [True] * 3 + [False]
    await quotas.later(361.0)
    assert [(await quotas.take([charge])).admitted for _ in range(2)] == [True, False]


async def test_what_was_taken_comes_back_evenly(quotas: Quotas) -> None:
    """Ten an hour: one is back after six minutes, and not a second."""
    await quotas.take([one(units=10)])
    refused = await quotas.take([one()])
    assert not refused.admitted
    assert refused.readings[0].retry_after_s == pytest.approx(360.0, abs=0.0 if quotas.exact else 5.0)
    await quotas.later(refused.readings[0].retry_after_s)
    assert (await quotas.take([one()])).admitted
    assert not (await quotas.take([one()])).admitted


async def test_buckets_are_charged_all_or_none(quotas: Quotas) -> None:
    """One that is empty keeps the other from being charged, whichever comes first."""
    await quotas.take([one(b"full", units=10)])
    for charges in ([one(b"alice"), one(b"full")], [one(b"full"), one(b"alice")]):
        refused = await quotas.take(charges)
        assert not refused.admitted
        assert refused.tightest is not None
        assert refused.tightest.charge.key == b"full"
    untouched = await quotas.take([one(b"alice", units=10)])
    assert untouched.admitted


async def test_a_charge_beyond_the_whole_quota_wants_a_full_bucket(quotas: Quotas) -> None:
    assert (await quotas.take([one(units=1_000)])).admitted
    assert not (await quotas.take([one()])).admitted
    await quotas.later(3_600.0)
    assert (await quotas.take([one()])).admitted
    assert not (await quotas.take([one(units=1_000)])).admitted


async def test_a_bill_may_leave_a_bucket_in_debt(quotas: Quotas) -> None:
    """Fifteen of ten: the next is to be had when six are back."""
    await quotas.store.settle([one(units=15)])
    refused = await quotas.take([one()])
    assert not refused.admitted
    assert refused.readings[0].remaining == 0
    assert refused.readings[0].retry_after_s == pytest.approx(6 * 360.0, abs=0.0 if quotas.exact else 5.0)


async def test_a_bill_may_give_back(quotas: Quotas) -> None:
    """What is given back is there at once; more than was taken does not make the bucket larger."""
    await quotas.take([one(units=10)])
    await quotas.store.settle([one(units=-4)])
    assert (await quotas.take([one(units=4)])).admitted
    assert not (await quotas.take([one()])).admitted
    await quotas.store.settle([one(units=-400)])
    assert not (await quotas.take([one(units=10), one(b"bob", units=0)])).readings[0].remaining
    assert not (await quotas.take([one()])).admitted


async def test_another_quota_holds_at_once(quotas: Quotas) -> None:
    """A policy that changes needs no bucket to be emptied: what was taken is a time, whatever the quota."""
    await quotas.take([one(units=10)])
    more = await quotas.take([one(quota=Quota(limit=10, window_s=7_200.0))])
    assert more.admitted


async def test_many_at_once_get_no_more_than_there_is(quotas: Quotas) -> None:
    """Forty who come at the same moment, for a bucket that nobody has used yet, and for two of them in both orders."""
    pair = [one(b"alice"), one(b"acme")]
    taken = await asyncio.gather(*(quotas.take(pair if n % 2 else pair[::-1]) for n in range(40)))
    assert sum(each.admitted for each in taken) == 10


async def test_slots_are_held_until_they_are_released(quotas: Quotas) -> None:
    wanted = [Slots(key=b"alice", limit=2)]
    first, second, third = uuid7(), uuid7(), uuid7()
    assert await quotas.acquire(first, wanted, TTL_S) is None
    assert await quotas.acquire(second, wanted, TTL_S) is None
    assert await quotas.acquire(third, wanted, TTL_S) == wanted[0]
    await quotas.store.release([first, uuid7()])
    assert await quotas.acquire(third, wanted, TTL_S) is None


async def test_slots_are_acquired_all_or_none(quotas: Quotas) -> None:
    """The user has a slot and the tenant none: then the user's stays free."""
    tenant, user = Slots(key=b"acme", limit=1), Slots(key=b"alice", limit=1)
    assert await quotas.acquire(uuid7(), [tenant], TTL_S) is None
    assert await quotas.acquire(uuid7(), [user, tenant], TTL_S) == tenant
    assert await quotas.acquire(uuid7(), [user], TTL_S) is None


async def test_a_holder_that_renews_keeps_its_slot_and_one_that_is_dead_loses_it(quotas: Quotas) -> None:
    wanted = [Slots(key=b"alice", limit=2)]
    alive, dead = uuid7(), uuid7()
    for holder in (alive, dead):
        await quotas.acquire(holder, wanted, TTL_S)
    for _ in range(2):
        await quotas.later(10.0)
        assert set(await quotas.store.renew([alive, uuid7()], TTL_S)) == {alive}
    assert await quotas.acquire(uuid7(), wanted, TTL_S) is None
    assert await quotas.acquire(uuid7(), wanted, TTL_S) == wanted[0]


async def test_a_slot_that_was_lost_does_not_come_back(quotas: Quotas) -> None:
    wanted = [Slots(key=b"alice", limit=1)]
    late, next_one = uuid7(), uuid7()
    await quotas.acquire(late, wanted, TTL_S)
    await quotas.later(TTL_S + 1)
    assert not await quotas.store.renew([late], TTL_S)
    assert await quotas.acquire(next_one, wanted, TTL_S) is None
    await quotas.store.release([late])
    assert await quotas.acquire(uuid7(), wanted, TTL_S) == wanted[0]


async def test_somebody_may_have_a_slot_whatever_the_others_hold(quotas: Quotas) -> None:
    """And counts from then on."""
    wanted = Slots(key=b"alice", limit=1)
    holders = [uuid7() for _ in range(3)]
    for holder in holders:
        assert await quotas.acquire(holder, [Slots(key=b"alice", limit=ANY_NUMBER)], TTL_S) is None
    await quotas.store.release(holders[:2])
    assert await quotas.acquire(uuid7(), [wanted], TTL_S) == wanted


async def test_a_lower_limit_holds_at_once(quotas: Quotas) -> None:
    """Those who hold one keep it; nobody else comes until there are fewer than the new limit."""
    holders = [uuid7() for _ in range(3)]
    for holder in holders:
        await quotas.acquire(holder, [Slots(key=b"alice", limit=3)], TTL_S)
    lower = Slots(key=b"alice", limit=1)
    assert await quotas.acquire(uuid7(), [lower], TTL_S) == lower
    await quotas.store.release(holders[:1])
    assert await quotas.acquire(uuid7(), [lower], TTL_S) == lower
    await quotas.store.release(holders[1:])
    assert await quotas.acquire(uuid7(), [lower], TTL_S) is None


async def test_many_at_once_are_all_let_in_where_there_is_room(quotas: Quotas) -> None:
    """Nobody is refused because others come at the same moment, for slots that nobody has used yet."""
    for number in range(20):
        wanted = [Slots(key=b"alice%d" % number, limit=200), Slots(key=b"acme%d" % number, limit=2_000)]
        refused = await asyncio.gather(*(quotas.acquire(uuid7(), wanted, TTL_S) for _ in range(60)))
        assert refused == [None] * 60


async def test_many_at_once_hold_no_more_slots_than_there_are(quotas: Quotas) -> None:
    """Sixty who come at the same moment and try until they know: exactly the limit holds one, beyond the first rows too."""
    wanted = [Slots(key=b"alice", limit=30), Slots(key=b"acme", limit=25)]

    async def acquired() -> bool:
        return await quotas.acquire(uuid7(), wanted, TTL_S) is None

    held = sum(await asyncio.gather(*(acquired() for _ in range(60))))
    while held < 25 and await acquired():
        held += 1
    assert held == 25
    assert not await acquired()


async def test_what_has_no_place_is_charged_nothing(quotas: Quotas) -> None:
    """And what was not charged holds no place."""
    place, holder = Slots(key=b"alice", limit=1), uuid7()
    held = await quotas.store.admit(charges=[one()], slots=[place], holder=holder)
    assert held.full is None
    assert held.taken.admitted
    refused = await quotas.store.admit(charges=[one(units=9)], slots=[place], holder=uuid7())
    assert refused.full == place
    await quotas.store.release([holder])
    too_much = await quotas.store.admit(charges=[one(units=10)], slots=[place], holder=uuid7())
    assert too_much.full is None
    assert not too_much.taken.admitted
    both = await quotas.store.admit(charges=[one(units=9)], slots=[place], holder=uuid7())
    assert both.full is None
    assert both.taken.admitted
    assert both.taken.readings[0].remaining == 0


async def test_many_at_once_get_what_there_is_of_both(quotas: Quotas) -> None:
    """Thirty who come at the same moment for ten places and seven charges, which nobody has used yet."""
    places = [Slots(key=b"alice", limit=10), Slots(key=b"acme", limit=10)]
    charges = [one(b"alice", quota=Quota(limit=7, window_s=3_600.0)), one(b"acme")]
    holders = [uuid7() for _ in range(30)]

    async def admitted(holder: UUID) -> bool:
        asked = await quotas.store.admit(charges=charges, slots=places, holder=holder)
        return asked.full is None and asked.taken.admitted

    got = await asyncio.gather(*map(admitted, holders))
    assert sum(got) == 7
    holding = await quotas.store.renew(holders, TTL_S)
    assert set(holding) == {holder for holder, has in zip(holders, got, strict=True) if has}
