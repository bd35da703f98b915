"""What agents remember of a user beyond any thread: the value, its limits, and the ports it goes through."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from services.types import Principal

MAX_QUERY_CHARS = 1_000

TAINTED_BY = "tainted_by"
"""Key of a memory's value: what from outside had been read before it was made, such as `["tool:fetch"]`; without it nothing
had. Whoever makes memories writes it, and whoever shows a model one that has it taints the turn."""

Namespace = tuple[str, ...]
"""Where a memory stands among its user's, outermost label first. A label holds no dot, so one with dots between is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One memory. `value` is a JSON object, `score` how well it matches what was searched for: the higher, the better."""

    id: UUID
    namespace: Namespace
    key: str
    value: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimits:
    """How much may be remembered of one user. Sizes are in bytes of UTF-8, a value's as JSON.

    `max_items` is checked by each write against what it sees: writes at the same moment can end a few above it.
    """

    max_items: int = 1_000
    max_value_bytes: int = 16_384
    max_key_bytes: int = 512
    max_namespace_bytes: int = 512


class Memories(Protocol):
    """A user's memories as the user sees them. Every method raises StoreUnavailable.

    `namespace` is a prefix: only what stands in it or below it is meant.
    """

    async def list(
        self, principal: Principal, *, limit: int, namespace: Namespace = (), after: UUID | None = None
    ) -> Sequence[Memory]:
        """Return the principal's memories, the last written first; `after` continues behind that memory.

        Where there is no such memory there is nothing behind it.
        """
        ...

    async def search(
        self, principal: Principal, query: str, *, limit: int, namespace: Namespace = ()
    ) -> Sequence[Memory]:
        """Return what matches best, best first. Raises InvalidRequest for a query that is too long or cannot be stored."""
        ...

    async def delete(self, principal: Principal, memory_id: UUID) -> None:
        """Erase one memory. Raises NotFound when there is none, or it is another's: the two look the same."""
        ...

    async def erase(self, principal: Principal, *, namespace: Namespace = ()) -> int:
        """Erase all memories in the namespace, and return how many there were."""
        ...


Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
"""Turns texts into vectors, one for each, all of one length. Raises a MainstayError when it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """What makes memories searchable by their meaning. Vectors of different `name` are never compared."""

    name: str
    embed: Embed
