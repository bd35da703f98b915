"""Bodies of FastAPI's routes, read as strictly as those that begin a run: FastAPI's own reading is not so strict."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request

from deployments.http.bodies import read_object
from deployments.protocols.validation import Body, validate

BodyT = TypeVar("BodyT", bound=Body)


def reader(max_bytes: int, model: type[BodyT]) -> Callable[[Request], Awaitable[BodyT]]:
    """Return the dependency that reads a body."""

    async def body(request: Request) -> BodyT:
        return validate(model, await read_object(request.headers, request.receive, max_bytes=max_bytes))

    return body


def described(model: type[Body]) -> dict[str, object]:
    """Return what the OpenAPI document says of a body, for a route's `openapi_extra`."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}
