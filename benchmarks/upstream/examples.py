"""An answer that satisfies a JSON schema, for callers that ask for structured output (a judge does)."""

from typing import Any

import orjson

_DEPTH = 8


def example_of(response_format: object) -> str | None:
    """JSON for `response_format` of a request; None when plain text is wanted."""
    if not isinstance(response_format, dict):
        return None
    match response_format.get("type"):
        case "json_object":
            return "{}"
        case "json_schema":
            schema = response_format.get("json_schema", {}).get("schema", {})
            return orjson.dumps(_value(schema, schema, depth=0)).decode()
        case _:
            return None


def _value(schema: dict[str, Any], root: dict[str, Any], *, depth: int) -> Any:
    """The smallest value that the schema allows, for the keywords that models' schemas use."""
    if depth > _DEPTH:
        return None
    if "$ref" in schema:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        return _value(target, root, depth=depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return _value(schema[union][0], root, depth=depth + 1)
    return _typed(schema, root, depth=depth)


def _typed(schema: dict[str, Any], root: dict[str, Any], *, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            return {name: _value(item, root, depth=depth + 1) for name, item in schema.get("properties", {}).items()}
        case "array":
            return [_value(schema.get("items", {}), root, depth=depth + 1)] * max(1, schema.get("minItems", 0))
        case "string":
            return "simulated"
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return None
