"""What can be read and erased: models, threads with their messages, runs. Each query is scoped to the key's principal."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel
from starlette.requests import Request

from deployments.http.asking import Eraser, Reader, Runner
from deployments.http.pages import Limit, next_page
from deployments.protocols.chat_stream import failure_json, interrupts_json, usage_json
from services.errors import InvalidRequest, UnknownModel
from services.runs.ports import RunStore, ThreadStore
from services.runs.service import RunService
from services.types import CancelAction, JsonObject, Message, Run, RunStatus, Thread

MAX_HISTORY = 1_000


ThreadId = Annotated[UUID, Path()]
RunId = Annotated[UUID, Path()]


class ModelJson(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["mainstay"] = "mainstay"
    description: str


class ModelsJson(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelJson]


class ThreadJson(BaseModel):
    id: UUID
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, str]


class ThreadsJson(BaseModel):
    """`next_before` continues the list when given as `before`; it is null on the last page."""

    threads: list[ThreadJson]
    next_before: UUID | None


class ToolCallJson(BaseModel):
    id: str
    name: str
    arguments: str


class MessageJson(BaseModel):
    role: str
    content: str
    name: str | None = None
    tool_calls: list[ToolCallJson] | None = None
    tool_call_id: str | None = None
    incomplete: Literal[True] | None = None


class MessagesJson(BaseModel):
    thread_id: UUID
    messages: list[MessageJson]


class RunJson(BaseModel):
    """`attempt` counts the agent replicas that have taken the run; `position` the runs before it while it is queued."""

    id: UUID
    thread_id: UUID
    model: str
    status: str
    attempt: int
    position: int | None
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    finish_reason: str | None
    interrupts: list[JsonObject]
    usage: JsonObject
    error: JsonObject | None


def models_router(graphs: Mapping[str, str], *, created: int) -> APIRouter:
    """Routes of `/v1/models`: one model per graph, `created` when this replica was, in Unix seconds."""
    router = APIRouter(prefix="/v1/models", tags=["models"])
    models = {name: ModelJson(id=name, created=created, description=text) for name, text in graphs.items()}

    @router.get("")
    async def list_models(asking: Reader) -> ModelsJson:
        return ModelsJson(data=list(models.values()))

    @router.get("/{model}")
    async def get_model(asking: Reader, model: str) -> ModelJson:
        if model not in models:
            raise UnknownModel(f"There is no such model. Choose one of: {', '.join(sorted(models))}.", param="model")
        return models[model]

    return router


def threads_router(threads: ThreadStore) -> APIRouter:
    """Routes of `/threads`."""
    router = APIRouter(prefix="/threads", tags=["threads"])

    @router.get("")
    async def list_threads(asking: Reader, limit: Limit = 20, before: UUID | None = None) -> ThreadsJson:
        found = await threads.list(asking, limit=limit, before=before)
        return ThreadsJson(
            threads=[_thread_json(thread) for thread in found],
            next_before=next_page(found, limit),
        )

    @router.get("/{thread_id}")
    async def get_thread(asking: Reader, thread_id: ThreadId) -> ThreadJson:
        return _thread_json(await threads.get(asking, thread_id))

    @router.get("/{thread_id}/messages", response_model_exclude_none=True)
    async def list_messages(
        asking: Reader, thread_id: ThreadId, limit: Annotated[int, Query(ge=1, le=MAX_HISTORY)] = MAX_HISTORY
    ) -> MessagesJson:
        found = await threads.messages(asking, thread_id, limit=limit)
        return MessagesJson(thread_id=thread_id, messages=[_message_json(message) for message in found])

    @router.delete("/{thread_id}", status_code=204)
    async def delete_thread(asking: Eraser, thread_id: ThreadId) -> Response:
        await threads.delete(asking, thread_id)
        return Response(status_code=204)

    return router


def runs_router(runs: RunService, store: RunStore) -> APIRouter:
    """Routes of `/runs`, but for those that begin one or stream."""
    router = APIRouter(prefix="/runs", tags=["runs"])

    async def shown(run: Run) -> RunJson:
        return _run_json(run, await store.position(run) if run.status is RunStatus.QUEUED else None)

    @router.get("/{run_id}")
    async def get_run(asking: Reader, run_id: RunId) -> RunJson:
        return await shown(await store.get(asking, run_id))

    @router.get("/{run_id}/wait")
    async def wait_for_run(asking: Reader, run_id: RunId) -> RunJson:
        return await shown(await runs.wait(asking, run_id))

    @router.post("/{run_id}/cancel")
    async def cancel_run(
        asking: Runner, run_id: RunId, action: CancelAction = CancelAction.INTERRUPT, wait: bool = False
    ) -> RunJson:
        await runs.cancel(asking, run_id, action)
        return await shown(await runs.wait(asking, run_id) if wait else await store.get(asking, run_id))

    return router


def run_id_of(request: Request) -> UUID:
    """Return the run that a path names. Raises InvalidRequest."""
    try:
        return UUID(request.path_params["run_id"])
    except ValueError:
        raise InvalidRequest("The path must have the id of a run, a UUID.", param="run_id") from None


def _thread_json(thread: Thread) -> ThreadJson:
    return ThreadJson(
        id=thread.id, created_at=thread.created_at, updated_at=thread.updated_at, metadata=dict(thread.metadata)
    )


def _message_json(message: Message) -> MessageJson:
    calls = [ToolCallJson(id=call.id, name=call.name, arguments=call.arguments) for call in message.tool_calls]
    return MessageJson(
        role=message.role,
        content=message.content,
        name=message.name,
        tool_calls=calls or None,
        tool_call_id=message.tool_call_id,
        incomplete=True if message.incomplete else None,
    )


def _run_json(run: Run, position: int | None) -> RunJson:
    return RunJson(
        id=run.id,
        thread_id=run.thread_id,
        model=run.graph,
        status=run.status,
        attempt=run.attempt,
        position=position,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        finish_reason=run.finish_reason,
        interrupts=interrupts_json(run.interrupts),
        usage=usage_json(run.usage),
        error=failure_json(run.failure) if run.failure else None,
    )
