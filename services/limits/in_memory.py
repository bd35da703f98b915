"""Buckets and slots in one process: each replica's own view of them, and the store of unit tests."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.limits.quota import Charge, Reading, Taken
from services.limits.stores import NOBODY, SLOT_TTL_S, Admitted, Slots


class MemoryRates:
    """Buckets in memory. At most `max_buckets`, of which the one that was used longest ago is forgotten first: it is the
    fullest, as a rule, and to forget it is to fill it.
    """

    def __init__(self, clock: Callable[[], float], *, max_buckets: int = 100_000) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._full_at: OrderedDict[bytes, float] = OrderedDict()

    def read(self, charges: Sequence[Charge]) -> Taken:
        """Return what `take_now` would come to, and take nothing."""
        now = self._clock()
        readings = tuple(Reading(charge=charge, taken_s=self._taken_s(charge.key, now)) for charge in charges)
        return Taken(admitted=all(reading.retry_after_s <= 0.0 for reading in readings), readings=readings)

    def take_now(self, charges: Sequence[Charge]) -> Taken:
        """Take all the charges, or none of them where one cannot be had."""
        taken = self.read(charges)
        if not taken.admitted:
            return taken
        readings = tuple(
            Reading(charge=reading.charge, taken_s=reading.taken_s + reading.charge.cost_s)
            for reading in taken.readings
        )
        self.learn(readings)
        return Taken(admitted=True, readings=readings)

    def learn(self, readings: Sequence[Reading]) -> None:
        """Have the buckets be as they were read elsewhere."""
        now = self._clock()
        for reading in readings:
            self._full_at[reading.charge.key] = now + reading.taken_s
            self._full_at.move_to_end(reading.charge.key)
        while len(self._full_at) > self._max_buckets:
            self._full_at.popitem(last=False)

    def bill(self, charges: Sequence[Charge]) -> None:
        """Take the charges without asking: a bucket may then owe."""
        now = self._clock()
        for charge in charges:
            owed_s = self._taken_s(charge.key, now) + charge.units * charge.quota.unit_s
            self.learn([Reading(charge=charge, taken_s=max(0.0, owed_s))])

    def _taken_s(self, key: bytes, now: float) -> float:
        return max(0.0, self._full_at.get(key, now) - now)


@dataclass(slots=True)
class _Held:
    keys: tuple[bytes, ...]
    until: float


class MemoryQuotas:
    """`QuotaStore` in memory."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.rates = MemoryRates(clock)
        self._held: dict[UUID, _Held] = {}

    async def admit(
        self,
        *,
        charges: Sequence[Charge] = (),
        slots: Sequence[Slots] = (),
        holder: UUID = NOBODY,
        ttl_s: float = SLOT_TTL_S,
    ) -> Admitted:
        now = self._clock()
        self._held = {other: held for other, held in self._held.items() if held.until > now}
        for wanted in slots:
            if sum(wanted.key in held.keys for held in self._held.values()) >= wanted.limit:
                return Admitted(full=wanted)
        taken = self.rates.take_now(charges)
        if taken.admitted and slots:
            self._held[holder] = _Held(tuple(wanted.key for wanted in slots), now + ttl_s)
        return Admitted(taken=taken)

    async def settle(self, charges: Sequence[Charge]) -> None:
        self.rates.bill(charges)

    async def renew(self, holders: Collection[UUID], ttl_s: float) -> Collection[UUID]:
        now = self._clock()
        holding = [holder for holder in holders if holder in self._held and self._held[holder].until > now]
        for holder in holding:
            self._held[holder].until = now + ttl_s
        return holding

    async def release(self, holders: Collection[UUID]) -> None:
        for holder in holders:
            self._held.pop(holder, None)
