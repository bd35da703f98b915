"""The OpenAPI document of the routes that are not FastAPI's: the client protocols'."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI

from deployments.protocols.types import ClientProtocol

_SCHEMAS = "#/components/schemas/{model}"


def describe_protocols(app: FastAPI, protocols: Iterable[ClientProtocol]) -> None:
    """Add the protocols' routes to what `GET /openapi.json` returns, and the key that every route asks for."""
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
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    for protocol in protocols:
        schema = protocol.body.model_json_schema(ref_template=_SCHEMAS)
        schemas.update(schema.pop("$defs", {}))
        schemas[protocol.body.__name__] = schema
        reference = {"$ref": _SCHEMAS.format(model=protocol.body.__name__)}
        document.setdefault("paths", {})[protocol.path] = {
            "post": {
                "summary": protocol.summary,
                "tags": ["runs"],
                "requestBody": {"required": True, "content": {"application/json": {"schema": reference}}},
                "responses": {"200": {"description": "The answer"}},
            }
        }
