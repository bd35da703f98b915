"""What agents remember of a user, for the user to read and erase. Every route is scoped to the key's principal."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel
from starlette.requests import Request

from deployments.http.asking import Eraser, Reader
from deployments.http.pages import Limit, next_page
from services.errors import InvalidRequest
from services.memories import Memories, Memory, Namespace
from services.types import JsonObject

MemoryId = Annotated[UUID, Path()]
Below = Annotated[str | None, Query(description="labels with dots between: what stands in it or below it is meant")]


class MemoryJson(BaseModel):
    """`namespace` are labels with dots between; a label holds none."""

    id: UUID
    namespace: str
    key: str
    value: JsonObject
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None


class MemoriesJson(BaseModel):
    """`next_after` continues the list when given as `after`; it is null on the last page, and for a search."""

    memories: list[MemoryJson]
    next_after: UUID | None


def memories_router(memories: Memories) -> APIRouter:
    """Routes of `/memories`."""
    router = APIRouter(prefix="/memories", tags=["memories"])

    @router.get("")
    async def list_memories(
        asking: Reader,
        namespace: Below = None,
        query: str | None = None,
        limit: Limit = 20,
        after: UUID | None = None,
    ) -> MemoriesJson:
        below = _namespace(namespace)
        if query is not None:
            if after is not None:
                raise InvalidRequest("A search has one page: give `query` or `after`, not both.", param="after")
            found = await memories.search(asking, query, limit=limit, namespace=below)
            return MemoriesJson(memories=[_memory_json(memory) for memory in found], next_after=None)
        found = await memories.list(asking, limit=limit, namespace=below, after=after)
        return MemoriesJson(
            memories=[_memory_json(memory) for memory in found],
            next_after=next_page(found, limit),
        )

    @router.delete("", status_code=204)
    async def erase_memories(request: Request, asking: Eraser, namespace: Below = None) -> Response:
        # A misspelt parameter must not erase everything.
        for name in request.query_params.keys() - {"namespace"}:
            raise InvalidRequest(f"There is no parameter {name[:100]!r} here.", param=name[:100])
        await memories.erase(asking, namespace=_namespace(namespace))
        return Response(status_code=204)

    @router.delete("/{memory_id}", status_code=204)
    async def delete_memory(asking: Eraser, memory_id: MemoryId) -> Response:
        await memories.delete(asking, memory_id)
        return Response(status_code=204)

    return router


def _namespace(text: str | None) -> Namespace:
    return () if text is None else tuple(text.split("."))


def _memory_json(memory: Memory) -> MemoryJson:
    return MemoryJson(
        id=memory.id,
        namespace=".".join(memory.namespace),
        key=memory.key,
        value=dict(memory.value),
        created_at=memory.created_at,
        updated_at=memory.updated_at,
        expires_at=memory.expires_at,
    )
