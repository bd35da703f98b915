"""The ledger of what tools have done to the world: an intent before each effect, its outcome after it.

A replica can die between the two. Whoever goes on with the run then reads in the ledger what became of each call: done, with
what the model was told; never begun; or begun and not done, which means that nobody knows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.types import Fence, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectCall:
    """A call of a tool that has an effect. `id` is unique within the thread, and the same whoever goes on with the run."""

    id: str
    tool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectOutcome:
    """How a call ended, as `graphs.tools.outcomes` has it: `outcome` as it is counted, `text` as the tool gave it.

    `own` marks our own words, which no guard need see.
    """

    outcome: str
    text: str
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The call may be made now. `key` is what an idempotent service knows it by."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger holds of a call. Without an `outcome` nobody knows what it did.

    `runs` have begun it: more than one where a person let another run of the thread call again. `key` is the first one's.
    """

    key: str
    runs: frozenset[UUID]
    outcome: EffectOutcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a person said of a call of which nobody knows what it did: its outcome, or None for "call it again"."""

    call: EffectCall
    outcome: EffectOutcome | None = None


class Effects(Protocol):
    """The ledger. Every method is one statement and raises StoreUnavailable; what writes raises RunSuperseded, and writes
    nothing, once the run has ended or been taken over. Text that cannot be stored has U+FFFD in its place.
    """

    async def begin(self, fence: Fence, call: EffectCall, *, again: bool = False) -> Begun | Entry:
        """Record that the call is about to be made. An entry says why it must not be: it was made, or begun before.

        With `again` a call of the same run that was begun and not done may be made once more.
        """
        ...

    async def done(self, fence: Fence, call_id: str, outcome: EffectOutcome) -> None:
        """Record how a call ended that was begun. The first outcome stays."""
        ...

    async def recall(self, run: Run, call_ids: Collection[str]) -> Mapping[str, Entry]:
        """Return what is known of these calls, whichever runs of the run's thread made them."""
        ...

    async def rule(self, fence: Fence, rulings: Sequence[Ruling]) -> None:
        """Record what a person said of calls, all or none: those with an outcome as done, the others as begun."""
        ...


def key_of(run_id: UUID, call_id: str) -> str:
    """Return what an idempotent service knows a call by."""
    return f"{run_id}:{call_id}"
