"""One user's memories as LangGraph's long-term store. It has no way to name another user, so a node cannot reach one."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn, Protocol
from uuid import UUID

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    validate_op_namespace,
)

from services.errors import InvalidRequest
from services.memories import Memory, MemoryLimits, Namespace
from services.storage.memories_terms import (
    Place,
    Wanted,
    Written,
    check_namespace,
    check_place,
    check_query,
    conditions,
    matches,
    written,
)
from services.storage.tenancy import missing
from services.types import Principal


class MemoryRows(Protocol):
    """Where the memories of one user are kept. What has expired is not there. Every method raises StoreUnavailable."""

    async def get(self, places: Collection[Place], *, refresh: Collection[Place]) -> Mapping[Place, Memory]:
        """Return those that are there; the time of those in `refresh` begins anew."""
        ...

    async def search(self, wanted: Wanted) -> Sequence[Memory]:
        """Return what matches best, best first. A query with no words in it finds the newest, one without a match nothing."""
        ...

    async def page(self, namespace: Namespace, *, limit: int, after: UUID | None) -> Sequence[Memory]:
        """Return memories, the last written first; `after` continues behind that one."""
        ...

    async def namespaces(self) -> Collection[Namespace]:
        """Return every namespace that holds something."""
        ...

    async def write(self, puts: Sequence[Written], deletes: Collection[Place], *, max_items: int) -> bool:
        """Store and erase, all or nothing. Return False, with nothing done, where more than `max_items` would be there."""
        ...

    async def delete(self, memory_id: UUID) -> bool:
        """Erase one memory; say whether it was there."""
        ...

    async def erase(self, namespace: Namespace) -> int:
        """Erase all in a namespace and below it; return how many there were."""
        ...


class UserMemories(BaseStore):
    """LangGraph's store over the memories of one user, for async graphs; the sync methods are not offered.

    In a batch, what is read is read before anything is written, and of several writes to one place the last counts; all
    writes are stored together or not at all. Searching goes by words, and by meaning too where an embedding model is
    configured: `services.storage.memories_sql`. A time to live begins anew whenever the memory is read or written, unless
    the caller says otherwise, and what has expired is gone at once. Raises InvalidRequest for what is over `limits`,
    StoreUnavailable, and LangGraph's own InvalidNamespaceError.
    """

    supports_ttl = True

    def __init__(self, rows: MemoryRows, limits: MemoryLimits, ttl: TTLConfig | None = None) -> None:
        self._rows = rows
        self._limits = limits
        self.ttl_config = ttl

    def batch(self, ops: Iterable[Op]) -> NoReturn:
        raise NotImplementedError("Memories are read and written by async code: use `aget`, `asearch` and `aput`.")

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        listed = list(ops)
        for op in listed:
            validate_op_namespace(op)
        puts = self._puts([op for op in listed if isinstance(op, PutOp)])
        results = await self._read(listed)
        if puts is not None:
            await self._write(*puts)
        return results

    async def _read(self, ops: Sequence[Op]) -> list[Result]:
        gets = {index: self._place(op) for index, op in enumerate(ops) if isinstance(op, GetOp)}
        searches = {index: self._wanted(op) for index, op in enumerate(ops) if isinstance(op, SearchOp)}
        refresh = {self._place(op) for op in ops if isinstance(op, GetOp) and op.refresh_ttl}
        got = await self._rows.get(set(gets.values()), refresh=refresh) if gets else {}
        found = {index: await self._rows.search(wanted) for index, wanted in searches.items()}
        namespaces: Collection[Namespace] = ()
        if any(isinstance(op, ListNamespacesOp) for op in ops):
            namespaces = await self._rows.namespaces()
        results: list[Result] = []
        for index, op in enumerate(ops):
            match op:
                case GetOp():
                    memory = got.get(gets[index])
                    results.append(None if memory is None else Item(**_parts(memory)))
                case SearchOp():
                    results.append([SearchItem(**_parts(memory), score=memory.score) for memory in found[index]])
                case ListNamespacesOp():
                    results.append(_listed(namespaces, op))
                case PutOp():
                    results.append(None)
        return results

    def _puts(self, ops: Sequence[PutOp]) -> tuple[list[Written], list[Place]] | None:
        if not ops:
            return None
        last = {self._place(op): op for op in ops}
        puts = [
            written(place, op.value, op.index, op.ttl, self._limits)
            for place, op in last.items()
            if op.value is not None
        ]
        return puts, [place for place, op in last.items() if op.value is None]

    async def _write(self, puts: Sequence[Written], deletes: Collection[Place]) -> None:
        if not await self._rows.write(puts, deletes, max_items=self._limits.max_items):
            raise InvalidRequest(
                f"There is room for {self._limits.max_items} memories of a user, and they are full: erase some first."
            )

    def _place(self, op: GetOp | PutOp) -> Place:
        return check_place(tuple(op.namespace), op.key, self._limits)

    def _wanted(self, op: SearchOp) -> Wanted:
        if op.limit < 0 or op.offset < 0:
            raise InvalidRequest("`limit` and `offset` cannot be below 0.", param="limit")
        return Wanted(
            namespace=check_namespace(tuple(op.namespace_prefix), self._limits),
            conditions=conditions(op.filter),
            query=check_query(op.query),
            limit=min(op.limit, self._limits.max_items),
            offset=op.offset,
            refresh=op.refresh_ttl,
        )


class UsersMemories(ABC):
    """The memories of all users over the rows of each: `services.memories.Memories`, and the stores that graphs are given."""

    def __init__(self, limits: MemoryLimits, ttl: TTLConfig | None) -> None:
        self._limits = limits
        self.ttl = ttl

    @abstractmethod
    def rows(self, tenant_id: str, user_id: str) -> MemoryRows:
        """Return the rows of one user."""

    def of(self, tenant_id: str, user_id: str) -> UserMemories:
        """Return the store of one user, which reaches nobody else's memories. Costs nothing: make one per use."""
        return UserMemories(self.rows(tenant_id, user_id), self._limits, self.ttl)

    async def list(
        self, principal: Principal, *, limit: int, namespace: Namespace = (), after: UUID | None = None
    ) -> Sequence[Memory]:
        check_namespace(namespace, self._limits)
        return await self.rows(principal.tenant_id, principal.user_id).page(namespace, limit=limit, after=after)

    async def search(
        self, principal: Principal, query: str, *, limit: int, namespace: Namespace = ()
    ) -> Sequence[Memory]:
        check_namespace(namespace, self._limits)
        wanted = Wanted(namespace=namespace, query=check_query(query), limit=limit)
        return await self.rows(principal.tenant_id, principal.user_id).search(wanted)

    async def delete(self, principal: Principal, memory_id: UUID) -> None:
        if not await self.rows(principal.tenant_id, principal.user_id).delete(memory_id):
            raise missing("memory", memory_id)

    async def erase(self, principal: Principal, *, namespace: Namespace = ()) -> int:
        check_namespace(namespace, self._limits)
        return await self.rows(principal.tenant_id, principal.user_id).erase(namespace)


def _parts(memory: Memory) -> dict[str, Any]:
    return {
        "namespace": memory.namespace,
        "key": memory.key,
        "value": dict(memory.value),
        "created_at": memory.created_at,
        "updated_at": memory.updated_at,
    }


def _listed(namespaces: Collection[Namespace], op: ListNamespacesOp) -> list[Namespace]:
    found = [namespace for namespace in namespaces if matches(namespace, op.match_conditions or ())]
    return sorted({namespace[: op.max_depth] for namespace in found})[op.offset : op.offset + op.limit]
