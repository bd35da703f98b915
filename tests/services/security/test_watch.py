"""What becomes of refusals: each is counted, those with a tenant are on its record, and a flood is a few rows."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.errors import StoreUnavailable
from services.security.audit import ATTEMPTS, AuditAction, AuditEvent
from services.security.keys import ApiKey, new_key
from services.security.permissions import Permission
from services.security.refusals import UNWATCHED, Reason, RefusalLog
from services.security.watch import EVERY_S, MAX_EVENTS, MAX_OF_TENANT, SecurityWatch
from services.storage.memory_keys import MemoryAuditTrail
from services.telemetry.metrics import ACCESS_REFUSED, AUDIT_EVENTS_DROPPED, PERMISSION_DENIED, Metric
from services.types import Principal

START = datetime(2026, 11, 29, tzinfo=UTC)
EVE = Principal(tenant_id="acme", user_id="eve", key_id=UUID(int=7))


def a_key(tenant_id: str = "acme") -> ApiKey:
    made = new_key("pepper-for-tests-only", key_id=uuid7(), tenant_id=tenant_id, user_id="ada", created_at=START)
    return made.record


class Trail(MemoryAuditTrail):
    """A trail that can be away, and counts how often it was written."""

    def __init__(self) -> None:
        super().__init__(lambda: START)
        self.away = False
        self.writes = 0

    async def add(self, events: Sequence[AuditEvent]) -> None:
        if self.away:
            raise StoreUnavailable("The database cannot be reached.")
        self.writes += 1
        await super().add(events)


class House:
    """A watch over a trail in memory, with its clock and its minutes in the test's hand."""

    def __init__(self) -> None:
        self.now = START
        self.trail = Trail()
        self.counted: Counter[tuple[str, str]] = Counter()
        self.slept: asyncio.Queue[float] = asyncio.Queue()
        self.minute = asyncio.Event()
        self.watch = SecurityWatch(
            self.trail, RefusalLog(lambda: 0.0), self, new_id=uuid7, now=lambda: self.now, sleep=self._sleep
        )

    def record(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        assert set(labels) == set(metric.labels)
        self.counted[metric.name, "".join(labels.values())] += int(value)

    async def _sleep(self, seconds: float) -> None:
        self.slept.put_nowait(seconds)
        await self.minute.wait()
        self.minute.clear()

    async def told(self, tenant_id: str = "acme") -> Sequence[AuditEvent]:
        """What is on the record after the watch has told what it knows, oldest first."""
        await self.watch.tell()
        found = await self.trail.list(Principal(tenant_id=tenant_id, user_id="x"), limit=999)
        return list(reversed(found))


@pytest.mark.parametrize("reason", Reason)
async def test_whoever_has_no_tenant_is_counted_and_logged_only(
    reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown key, a token, nothing at all: no row, for it would be nobody's."""
    house = House()
    with caplog.at_level(logging.INFO):
        house.watch.refused(reason)
        house.watch.refused(reason)
    assert [record.__dict__["reason"] for record in caplog.records] == [str(reason)]
    await house.watch.tell()
    assert house.counted == {(ACCESS_REFUSED.name, str(reason)): 2}
    assert house.trail.writes == 0


async def test_a_key_that_is_over_is_on_its_tenants_record() -> None:
    """Whose key it is, why it was refused, how often, and when first and last; nothing else of the request."""
    house, key = House(), a_key()
    for _ in range(3):
        house.watch.refused(Reason.KEY_REVOKED, key)
        house.now += timedelta(seconds=20)
    [event] = await house.told()
    assert event == AuditEvent(
        id=event.id,
        tenant_id="acme",
        action=AuditAction.ACCESS_REFUSED,
        user_id="ada",
        key_id=key.id,
        target=str(key.id),
        details={
            "reason": "key_revoked",
            "times": "3",
            "first_at": "2026-11-29T00:00:00+00:00",
            "last_at": "2026-11-29T00:00:40+00:00",
        },
        at=START,
    )
    assert await house.told("other") == []


async def test_a_permission_that_is_lacking_is_on_record() -> None:
    """By whom, with which key or none, and for what."""
    house = House()
    house.watch.denied(EVE, Permission.KEYS_MANAGE)
    house.watch.denied(replace(EVE, key_id=None), Permission.KEYS_MANAGE)
    house.watch.denied(EVE, Permission.AUDIT_READ)
    house.watch.denied(EVE, Permission.KEYS_MANAGE)
    seen = [(event.user_id, event.key_id, event.target, event.details["times"]) for event in await house.told()]
    assert seen == [
        ("eve", EVE.key_id, "keys:manage", "2"),
        ("eve", None, "keys:manage", "1"),
        ("eve", EVE.key_id, "audit:read", "1"),
    ]
    assert {event.action for event in await house.told()} == {AuditAction.PERMISSION_DENIED}
    assert house.counted[PERMISSION_DENIED.name, "keys:manage"] == 3


async def test_a_flood_is_one_row() -> None:
    """Ten thousand requests with a revoked key are a count, and one write."""
    house, key = House(), a_key()
    for _ in range(10_000):
        house.watch.refused(Reason.KEY_REVOKED, key)
    [event] = await house.told()
    assert (event.details["times"], house.trail.writes) == ("10000", 1)
    assert house.counted[ACCESS_REFUSED.name, "key_revoked"] == 10_000


async def test_no_tenant_has_more_than_its_share() -> None:
    """What goes beyond is counted as dropped; another tenant's attempts are on record all the same."""
    house = House()
    for n in range(MAX_OF_TENANT + 7):
        house.watch.denied(replace(EVE, user_id=f"user-{n}"), Permission.KEYS_MANAGE)
    house.watch.denied(replace(EVE, user_id="user-0"), Permission.KEYS_MANAGE)
    house.watch.denied(replace(EVE, tenant_id="other"), Permission.KEYS_MANAGE)
    assert len(await house.told()) == MAX_OF_TENANT
    assert len(await house.told("other")) == 1
    assert house.counted[AUDIT_EVENTS_DROPPED.name, ""] == 7
    house.watch.denied(EVE, Permission.KEYS_MANAGE)
    assert len(await house.told()) == MAX_OF_TENANT + 1


async def test_all_tenants_together_have_a_bound() -> None:
    """So that many tenants' worth of old keys are no flood of writes either."""
    house = House()
    for n in range(MAX_EVENTS + 5):
        house.watch.refused(Reason.KEY_EXPIRED, a_key(f"tenant-{n}"))
    await house.watch.tell()
    assert len(house.trail._events) == MAX_EVENTS
    assert house.counted[AUDIT_EVENTS_DROPPED.name, ""] == 5


async def test_what_cannot_be_stored_is_told_later() -> None:
    """With what was heard meanwhile, in the order of time; the bounds hold."""
    house, key = House(), a_key()
    house.watch.refused(Reason.KEY_REVOKED, key)
    house.trail.away = True
    await house.watch.tell()
    house.now += timedelta(minutes=1)
    house.watch.refused(Reason.KEY_REVOKED, key)
    await house.watch.tell()
    for n in range(MAX_OF_TENANT):
        house.watch.denied(replace(EVE, user_id=f"user-{n}"), Permission.KEYS_MANAGE)
    house.trail.away = False
    first, *rest = await house.told()
    assert first.details["times"] == "2"
    assert (first.details["first_at"], first.details["last_at"]) == (
        "2026-11-29T00:00:00+00:00",
        "2026-11-29T00:01:00+00:00",
    )
    assert len(rest) == MAX_OF_TENANT - 1
    assert len(await house.told()) == MAX_OF_TENANT


async def test_what_is_heard_while_it_is_stored_in_vain_is_kept_behind_it() -> None:
    """Nothing is lost or counted twice."""
    house, key = House(), a_key()

    async def away(events: Sequence[AuditEvent]) -> None:
        house.now += timedelta(seconds=5)
        house.watch.refused(Reason.KEY_EXPIRED, key)
        raise StoreUnavailable("The database cannot be reached.")

    house.watch.refused(Reason.KEY_EXPIRED, key)
    house.trail.add, kept = away, house.trail.add  # type: ignore[method-assign]
    await house.watch.tell()
    house.trail.add = kept  # type: ignore[method-assign]
    [event] = await house.told()
    assert (event.details["times"], event.details["last_at"]) == ("2", "2026-11-29T00:00:05+00:00")


async def test_what_there_is_no_room_for_again_is_dropped_with_its_count() -> None:
    """What came first stays; of what came while it was stored in vain, every single one is counted."""
    house = House()

    async def away(events: Sequence[AuditEvent]) -> None:
        for _ in range(3):
            house.watch.denied(EVE, Permission.AUDIT_READ)
        raise StoreUnavailable("The database cannot be reached.")

    for n in range(MAX_OF_TENANT):
        house.watch.denied(replace(EVE, user_id=f"user-{n}"), Permission.KEYS_MANAGE)
    house.trail.add, kept = away, house.trail.add  # type: ignore[method-assign]
    await house.watch.tell()
    house.trail.add = kept  # type: ignore[method-assign]
    assert house.counted[AUDIT_EVENTS_DROPPED.name, ""] == 3
    assert {event.user_id for event in await house.told()} == {f"user-{n}" for n in range(MAX_OF_TENANT)}


async def test_it_tells_each_minute_and_once_more_at_the_end() -> None:
    """Nothing is written while nothing was heard."""
    house = House()
    house.watch.start()
    assert await house.slept.get() == EVERY_S
    house.watch.denied(EVE, Permission.AUDIT_READ)
    house.minute.set()
    await house.slept.get()
    assert house.trail.writes == 1
    house.minute.set()
    await house.slept.get()
    assert house.trail.writes == 1
    house.watch.denied(EVE, Permission.AUDIT_READ)
    await house.watch.aclose()
    assert house.trail.writes == 2
    await House().watch.aclose()


async def test_a_bug_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be stored at all is lost, and said so; the next minute is told as ever."""
    house = House()

    async def broken(events: Sequence[AuditEvent]) -> None:
        raise ValueError("a bug")

    house.trail.add, kept = broken, house.trail.add  # type: ignore[method-assign]
    house.watch.start()
    await house.slept.get()
    house.watch.denied(EVE, Permission.AUDIT_READ)
    house.minute.set()
    await house.slept.get()
    assert "are lost" in caplog.text
    house.trail.add = kept  # type: ignore[method-assign]
    house.watch.denied(EVE, Permission.AUDIT_READ)
    house.minute.set()
    await house.slept.get()
    [event] = await house.trail.list(EVE, limit=9)
    assert event.details["times"] == "1"
    await house.watch.aclose()


def test_what_changed_nothing_is_known_as_such() -> None:
    """Retention lets go of these, and of no record of a change."""
    assert set(AuditAction) - ATTEMPTS == {AuditAction.KEY_CREATED, AuditAction.KEY_ROTATED, AuditAction.KEY_REVOKED}


def test_nobody_watches_the_operators() -> None:
    """A command has a watch that does nothing."""
    UNWATCHED.refused(Reason.KEY_UNKNOWN)
    UNWATCHED.denied(EVE, Permission.AUDIT_READ)
