"""The arithmetic of a bucket."""

import pytest

from services.limits.quota import Charge, Quota, Reading, Taken

PER_MINUTE = Quota(limit=60, window_s=60.0)


def reading(taken_s: float, units: float = 1.0) -> Reading:
    return Reading(charge=Charge(key=b"k", quota=PER_MINUTE, units=units), taken_s=taken_s)


@pytest.mark.parametrize(("taken_s", "remaining"), [(0.0, 60), (0.5, 59), (1.0, 59), (59.5, 0), (60.0, 0), (90.0, 0)])
def test_what_remains_is_whole_units(taken_s: float, remaining: int) -> None:
    assert reading(taken_s).remaining == remaining


@pytest.mark.parametrize(
    ("taken_s", "units", "retry_after_s"), [(59.0, 1, 0.0), (59.5, 1, 0.5), (60.0, 10, 10.0), (30.0, 1_000, 30.0)]
)
def test_when_to_come_back(taken_s: float, units: float, retry_after_s: float) -> None:
    """As soon as the charge is there; a charge beyond the quota counts as all of it."""
    assert reading(taken_s, units).retry_after_s == pytest.approx(retry_after_s)


def test_a_burst_is_what_a_bucket_holds_and_comes_back_as_fast() -> None:
    quota = Quota(limit=60, window_s=60.0, burst=10)
    charge = Charge(key=b"k", quota=quota)
    assert Reading(charge=charge, taken_s=0.0).remaining == 10
    assert Reading(charge=charge, taken_s=10.0).retry_after_s == pytest.approx(1.0)
    assert Charge(key=b"k", quota=quota, units=1_000.0).cost_s == pytest.approx(10.0)


def test_of_several_buckets_the_one_that_takes_longest_says_when() -> None:
    taken = Taken(admitted=False, readings=(reading(60.0), reading(60.0, units=30), reading(0.0)))
    assert taken.tightest is taken.readings[1]


def test_of_no_buckets_nothing_is_asked() -> None:
    assert Taken(admitted=True, readings=()).tightest is None
