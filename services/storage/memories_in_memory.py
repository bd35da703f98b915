"""The long-term memory of users in memory, for unit tests and for a laptop without a database. Per process, nothing survives.

Words are matched as they are written, whatever their case: there are no stems, and no vectors.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import orjson
from langgraph.store.base import TTLConfig

from services.memories import Memory, MemoryLimits, Namespace
from services.storage.encoding import refuse_unstorable
from services.storage.memories_store import UsersMemories
from services.storage.memories_terms import Place, Wanted, Written, holds

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    memory: Memory
    words: frozenset[str]
    ttl_s: float | None


class InMemoryMemories(UsersMemories):
    """`services.memories.Memories` in memory, and the stores of single users; see `MemoryRepository`."""

    def __init__(
        self,
        *,
        limits: MemoryLimits = MemoryLimits(),  # noqa: B008  # frozen
        ttl: TTLConfig | None = None,
        new_id: Callable[[], UUID] = uuid4,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(limits, ttl)
        self._new_id = new_id
        self._now = now
        self._users: dict[tuple[str, str], dict[Place, _Row]] = {}

    async def prune(self, *, limit: int = 1_000) -> int:
        now, pruned = self._now(), 0
        for rows in self._users.values():
            for place in [place for place, row in rows.items() if not _alive(row, now)][: limit - pruned]:
                del rows[place]
                pruned += 1
        return pruned

    def rows(self, tenant_id: str, user_id: str) -> "_Rows":
        refuse_unstorable((tenant_id, user_id))
        return _Rows(self._users.setdefault((tenant_id, user_id), {}), self._new_id, self._now)


class _Rows:
    """`MemoryRows` of one user."""

    def __init__(self, rows: dict[Place, _Row], new_id: Callable[[], UUID], now: Callable[[], datetime]) -> None:
        self._rows = rows
        self._new_id = new_id
        self._now = now

    async def get(self, places: Collection[Place], *, refresh: Collection[Place]) -> Mapping[Place, Memory]:
        found = {place: row.memory for place, row in self._alive() if place in places}
        self._refresh(found.keys() & set(refresh))
        return found

    async def search(self, wanted: Wanted) -> Sequence[Memory]:
        mine = [
            row
            for place, row in self._alive()
            if _below(place, wanted.namespace)
            and all(holds(row.memory.value, condition) for condition in wanted.conditions)
        ]
        found = sorted(
            _ranked(mine, _words(wanted.query or "")),
            key=lambda memory: (memory.score or 0.0, memory.updated_at, memory.id),
            reverse=True,
        )[wanted.offset : wanted.offset + wanted.limit]
        if wanted.refresh:
            self._refresh([(memory.namespace, memory.key) for memory in found])
        return found

    async def page(self, namespace: Namespace, *, limit: int, after: UUID | None) -> Sequence[Memory]:
        memories = sorted(
            (row.memory for _, row in self._alive()), key=lambda memory: (memory.updated_at, memory.id), reverse=True
        )
        if after is not None:
            ids = [memory.id for memory in memories]
            memories = memories[ids.index(after) + 1 :] if after in ids else []
        return [memory for memory in memories if memory.namespace[: len(namespace)] == namespace][:limit]

    async def namespaces(self) -> Collection[Namespace]:
        return {place[0] for place, _ in self._alive()}

    async def write(self, puts: Sequence[Written], deletes: Collection[Place], *, max_items: int) -> bool:
        now = self._now()
        there = {place: row.memory for place, row in self._alive() if place not in deletes}
        more = [put for put in puts if (put.namespace, put.key) not in there]
        if more and len(there) + len(more) > max_items:
            return False
        for place in deletes:
            self._rows.pop(place, None)
        for put in puts:
            place = (put.namespace, put.key)
            known = there.get(place)
            memory = Memory(
                id=known.id if known else self._new_id(),
                namespace=put.namespace,
                key=put.key,
                value=orjson.loads(put.value),
                created_at=known.created_at if known else now,
                updated_at=now,
                expires_at=None if put.ttl_s is None else now + timedelta(seconds=put.ttl_s),
            )
            self._rows[place] = _Row(memory=memory, words=_words(put.text), ttl_s=put.ttl_s)
        return True

    async def delete(self, memory_id: UUID) -> bool:
        for place, row in self._alive():
            if row.memory.id == memory_id:
                del self._rows[place]
                return True
        return False

    async def erase(self, namespace: Namespace) -> int:
        gone = [place for place in self._rows if _below(place, namespace)]
        for place in gone:
            del self._rows[place]
        return len(gone)

    def _alive(self) -> Sequence[tuple[Place, _Row]]:
        now = self._now()
        return [(place, row) for place, row in self._rows.items() if _alive(row, now)]

    def _refresh(self, places: Collection[Place]) -> None:
        for place in places:
            row = self._rows[place]
            if row.ttl_s is not None:
                expires_at = self._now() + timedelta(seconds=row.ttl_s)
                self._rows[place] = replace(row, memory=replace(row.memory, expires_at=expires_at))


def _ranked(rows: Sequence[_Row], asked: frozenset[str]) -> Sequence[Memory]:
    """Return what has a word in common with what was asked, each such word worth the more, the fewer rows hold it."""
    if not asked:
        return [row.memory for row in rows]
    held = Counter(word for row in rows for word in row.words & asked)
    weights = {word: math.log(1 + (len(rows) - count + 0.5) / (count + 0.5)) for word, count in held.items()}
    return [
        replace(row.memory, score=sum(weights[word] for word in row.words & asked)) for row in rows if row.words & asked
    ]


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in _WORD.findall(text.casefold()))


def _below(place: Place, namespace: Namespace) -> bool:
    return place[0][: len(namespace)] == namespace


def _alive(row: _Row, now: datetime) -> bool:
    return row.memory.expires_at is None or row.memory.expires_at > now
