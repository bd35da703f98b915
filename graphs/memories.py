"""The long-term memory of the user whose run it is, as LangGraph's store: `runtime.store` in a node."""

from collections.abc import Iterable
from typing import NoReturn, Protocol

from langgraph.runtime import get_runtime
from langgraph.store.base import BaseStore, Op, Result, TTLConfig

from services.runs.types import RunContext


class UserStores(Protocol):
    """The memories of all users: `services.storage.memories.MemoryRepository` in production. `ttl` says how long they keep."""

    @property
    def ttl(self) -> TTLConfig | None: ...

    def of(self, tenant_id: str, user_id: str) -> BaseStore:
        """Return the store of one user."""
        ...


class RunMemories(BaseStore):
    """One store for a compiled graph, which all runs share: each operation goes to the user of the run that asks.

    So a node can reach its own user's memories and no others, whatever namespace it names. It works within a node, and in
    tasks that a node starts. Raises what the user's store raises.
    """

    supports_ttl = True

    def __init__(self, stores: UserStores) -> None:
        self._stores = stores
        self.ttl_config = stores.ttl  # where LangGraph's own methods read it

    def batch(self, ops: Iterable[Op]) -> NoReturn:
        raise NotImplementedError("Memories are read and written by async code: use `aget`, `asearch` and `aput`.")

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        run = get_runtime(RunContext).context.run
        return await self._stores.of(run.tenant_id, run.user_id).abatch(ops)
