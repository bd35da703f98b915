"""Where buckets and slots are kept, as a protocol: Postgres or Redis for all replicas together, memory for one of them.

One contract test holds for all (tests/services/limits/test_contract.py).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.limits.quota import NOTHING_ASKED, Charge, Taken

NOBODY = UUID(int=0)
"""Who is named where no slot is asked for."""

SLOT_TTL_S = 15.0
"""How long a run that nobody looks after holds its slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How many holders may have a slot of `key` at once."""

    key: bytes
    limit: int


ANY_NUMBER = 2**31 - 1
"""The limit for somebody who is to have a slot whatever the others hold: the most that a store counts to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What came of asking: `full` is what had no slot free, and then nothing was charged; without what was `taken` no slot is
    held.
    """

    full: Slots | None = None
    taken: Taken = NOTHING_ASKED


class QuotaStore(Protocol):
    """Buckets that are charged, and slots that are held for a time, and come free by themselves when nobody renews them: their
    holder may be dead. Time is the store's own, so replicas need not agree on it. Every method raises StoreUnavailable.
    """

    async def admit(
        self,
        *,
        charges: Sequence[Charge] = (),
        slots: Sequence[Slots] = (),
        holder: UUID = NOBODY,
        ttl_s: float = SLOT_TTL_S,
    ) -> Admitted:
        """Take all the charges and hold one of each slot for `ttl_s` seconds, or nothing of it. The keys of each are different
        ones. For a holder that holds nothing yet.
        """
        ...

    async def settle(self, charges: Sequence[Charge]) -> None:
        """Take the charges without asking, as a bill: a bucket may then owe. Negative units are given back."""
        ...

    async def renew(self, holders: Collection[UUID], ttl_s: float) -> Collection[UUID]:
        """Hold what these hold for another `ttl_s` seconds from now, and return which of them hold something.

        Whoever has lost a slot does not get it back.
        """
        ...

    async def release(self, holders: Collection[UUID]) -> None:
        """Free what these hold. Whoever holds nothing is passed over."""
        ...
