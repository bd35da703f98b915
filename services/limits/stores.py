"""Where buckets and slots are kept, as protocols: Postgres or Redis for all replicas together, memory for one of them.

One contract test holds for all (tests/services/limits/test_contract.py).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.limits.quota import Charge, Taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How many holders may have a slot of `key` at once."""

    key: bytes
    limit: int


ANY_NUMBER = 2**31 - 1
"""The limit for somebody who is to have a slot whatever the others hold: the most that a store counts to."""


class RateStore(Protocol):
    """Buckets. Time is the store's own, so replicas need not agree on it. Every method raises StoreUnavailable."""

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Take all the charges, or none of them where one cannot be had. Their keys are different ones."""
        ...

    async def settle(self, charges: Sequence[Charge]) -> None:
        """Take the charges without asking, as a bill: a bucket may then owe. Negative units are given back."""
        ...


class SlotStore(Protocol):
    """Slots that are held for a time, and come free by themselves when nobody renews them: their holder may be dead.

    Every method raises StoreUnavailable.
    """

    async def acquire(self, holder: UUID, slots: Sequence[Slots], ttl_s: float) -> Slots | None:
        """Hold one of each for `ttl_s` seconds, or none: then return what had none free. Keys are different ones.

        For a holder that holds nothing yet.
        """
        ...

    async def renew(self, holders: Collection[UUID], ttl_s: float) -> Collection[UUID]:
        """Hold what these hold for another `ttl_s` seconds from now, and return which of them hold something.

        Whoever has lost a slot does not get it back.
        """
        ...

    async def release(self, holders: Collection[UUID]) -> None:
        """Free what these hold. Whoever holds nothing is passed over."""
        ...
