"""The OpenAPI document of the routes that are not FastAPI's: those that begin a run, and the one that streams one."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI

from deployments.protocols.types import ClientProtocol

_SCHEMAS = "#/components/schemas/{model}"


_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "the same key and request again within 24 hours give the same run",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_STREAM = {
    "summary": "Read what a run has said, and what it goes on to say",
    "tags": ["runs"],
    "parameters": [
        {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}},
        {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "the id of the last event that the client has; without it, or with -1, all are sent",
            "schema": {"type": "string", "pattern": "^(-1|[0-9]{1,6}-[0-9]{1,9})$"},
        },
    ],
    "responses": {
        "200": {"description": "The events", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        "204": {"description": "The run has ended, and the client has all of it"},
    },
}


def describe_protocols(app: FastAPI, protocols: Iterable[ClientProtocol]) -> None:
    """Add the routes to what `GET /openapi.json` returns, and the key that every route asks for."""
    listed = tuple(protocols)
    of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(of_fastapi(), listed)
        return of_fastapi()

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any], protocols: Iterable[ClientProtocol]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    paths = document.setdefault("paths", {})
    how = {"type": "http", "scheme": "bearer", "description": "an API key, or an access token of the identity provider"}
    components["securitySchemes"] = {"key": how}
    document["security"] = [{"key": []}]
    paths["/runs/{run_id}/stream"] = {"get": _STREAM}
    for protocol in protocols:
        schema = protocol.body.model_json_schema(ref_template=_SCHEMAS)
        schemas.update(schema.pop("$defs", {}))
        schemas[protocol.body.__name__] = schema
        reference = {"$ref": _SCHEMAS.format(model=protocol.body.__name__)}
        paths[protocol.path] = {
            "post": {
                "summary": protocol.summary,
                "tags": ["runs"],
                "parameters": [_KEY_HEADER],
                "requestBody": {"required": True, "content": {"application/json": {"schema": reference}}},
                "responses": {str(protocol.status): {"description": "The answer"}},
            }
        }
