"""The long-term memory of users in Postgres: for graphs as LangGraph's store, for the users themselves to read and erase."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from langgraph.store.base import TTLConfig

from services.memories import Memory, MemoryLimits, Namespace
from services.storage import memories_sql as sql
from services.storage.database import Database
from services.storage.encoding import plain, refuse_unstorable, to_json
from services.storage.memories_store import UsersMemories
from services.storage.memories_terms import Place, Wanted, Written
from services.storage.memories_vectors import MemoryVectors


class MemoryRepository(UsersMemories):
    """`services.memories.Memories` in Postgres, and the stores of single users. Every method raises StoreUnavailable.

    `ttl` are LangGraph's settings of how long memories are kept: for ever by default. With `vectors` memories are found by
    their meaning too.
    """

    def __init__(
        self,
        database: Database,
        *,
        limits: MemoryLimits = MemoryLimits(),  # noqa: B008  # frozen
        ttl: TTLConfig | None = None,
        vectors: MemoryVectors | None = None,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        super().__init__(limits, ttl)
        self._database = database
        self._vectors = vectors
        self._new_id = new_id

    async def prune(self, *, limit: int = 1_000) -> int:
        """Delete at most `limit` memories of anybody that have expired, and return how many."""
        async with self._database.raw() as connection:
            return _count(await connection.execute(sql.PRUNE, limit))

    def rows(self, tenant_id: str, user_id: str) -> "_Rows":
        return _Rows(self._database, (tenant_id, user_id), self._vectors, self._new_id)


class _Rows:
    """`MemoryRows` of one user in Postgres."""

    def __init__(
        self, database: Database, owner: tuple[str, str], vectors: MemoryVectors | None, new_id: Callable[[], UUID]
    ) -> None:
        refuse_unstorable(owner)
        self._database = database
        self._owner = owner
        self._vectors = vectors
        self._new_id = new_id

    async def get(self, places: Collection[Place], *, refresh: Collection[Place]) -> Mapping[Place, Memory]:
        asked = [{"namespace": place[0], "key": place[1], "refresh": place in refresh} for place in places]
        async with self._database.raw() as connection:
            rows = await connection.fetch(sql.GET, *self._owner, to_json(asked))
        return {(memory.namespace, memory.key): memory for memory in map(_memory, rows)}

    async def search(self, wanted: Wanted) -> Sequence[Memory]:
        vector = None
        if self._vectors is not None and wanted.query is not None:
            vector = await self._vectors.of_query(wanted.query)
        model = None if self._vectors is None else self._vectors.model
        statement, arguments = sql.search(*self._owner, wanted, vector=vector, model=model)
        async with self._database.raw() as connection:
            return [_memory(row) for row in await connection.fetch(statement, *arguments)]

    async def page(self, namespace: Namespace, *, limit: int, after: UUID | None) -> Sequence[Memory]:
        async with self._database.raw() as connection:
            return [
                _memory(row) for row in await connection.fetch(sql.PAGE, *self._owner, list(namespace), after, limit)
            ]

    async def namespaces(self) -> Collection[Namespace]:
        async with self._database.raw() as connection:
            return [tuple(row["namespace"]) for row in await connection.fetch(sql.NAMESPACES, *self._owner)]

    async def write(self, puts: Sequence[Written], deletes: Collection[Place], *, max_items: int) -> bool:
        vectors = [] if self._vectors is None else await self._vectors.of(puts)
        async with self._database.raw() as connection:
            if not (deletes or vectors) and len(puts) == 1:
                return await self._put(connection, puts, max_items)  # one row by one statement, which need not wait
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(sql.LOCK, *self._owner)
            if deletes:
                gone = [{"namespace": namespace, "key": key} for namespace, key in deletes]
                await connection.execute(sql.DELETE, *self._owner, to_json(gone))
            stored = await self._put(connection, puts, max_items)
            if stored and vectors and self._vectors is not None:
                await connection.execute(sql.PUT_VECTORS, *self._owner, to_json(vectors), self._vectors.model)
            await (transaction.commit() if stored else transaction.rollback())
            return stored

    async def _put(self, connection: "asyncpg.Connection[Any]", puts: Sequence[Written], max_items: int) -> bool:
        if not puts:
            return True
        given = [{"id": self._new_id(), **asdict(put)} for put in puts]
        return _count(await connection.execute(sql.PUT, *self._owner, to_json(given), max_items)) > 0

    async def delete(self, memory_id: UUID) -> bool:
        async with self._database.raw() as connection:
            return _count(await connection.execute(sql.DELETE_ONE, *self._owner, memory_id)) == 1

    async def erase(self, namespace: Namespace) -> int:
        async with self._database.raw() as connection, connection.transaction():
            await connection.execute(sql.LOCK, *self._owner)
            return _count(await connection.execute(sql.ERASE, *self._owner, list(namespace)))


def _count(status: str) -> int:
    """Return how many rows a statement wrote, which Postgres says at the end of its answer: `DELETE 3`."""
    return int(status.rpartition(" ")[2])


def _memory(row: Mapping[str, Any]) -> Memory:
    return Memory(
        id=plain(row["id"]),
        namespace=tuple(row["namespace"]),
        key=row["key"],
        value=row["value"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        expires_at=row["expires_at"],
        score=row.get("score"),
    )
