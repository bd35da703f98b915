"""What may be remembered, what of it can be searched, and what a filter means: the same in Postgres and in memory."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from langgraph.store.base import MatchCondition, get_text_at_path, tokenize_path

from services.errors import InvalidRequest
from services.memories import MAX_QUERY_CHARS, MemoryLimits, Namespace
from services.storage.encoding import refuse_unstorable, to_json

MAX_TTL_S = 10 * 365 * 86_400.0
MAX_CONDITIONS = 16
MAX_DEPTH = 8

Place = tuple[Namespace, str]

_OPERATORS = {"$eq": "eq", "$ne": "ne", "$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}
_ORDERED = {"gt", "gte", "lt", "lte"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What the part of a value at `path` must be. An ordered comparison holds between two numbers or two texts only."""

    path: tuple[str, ...]
    operator: str
    operand: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for: in `namespace` and below it, by the words of `query` where there is one, else the newest."""

    namespace: Namespace
    conditions: Sequence[Condition] = ()
    query: str | None = None
    limit: int
    offset: int = 0
    refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A memory to be stored: its value as JSON, what of it can be searched, and how long it is kept."""

    namespace: Namespace
    key: str
    value: str
    text: str
    ttl_s: float | None = None


def check_namespace(namespace: Namespace, limits: MemoryLimits) -> Namespace:
    """Return the namespace. Raises InvalidRequest for one with a label that cannot be, or that is too long."""
    refuse_unstorable(namespace, param="namespace")
    if not all(label and "." not in label for label in namespace):
        raise InvalidRequest("A label of a namespace may neither be empty nor hold a dot.", param="namespace")
    if len(".".join(namespace).encode()) > limits.max_namespace_bytes:
        raise InvalidRequest(f"A namespace may have at most {limits.max_namespace_bytes} bytes.", param="namespace")
    return namespace


def check_place(namespace: Namespace, key: str, limits: MemoryLimits) -> Place:
    """Return where one memory stands. Raises InvalidRequest where none can."""
    if not namespace:
        raise InvalidRequest("A memory needs a namespace of at least one label.", param="namespace")
    refuse_unstorable([key], param="key")
    if not 0 < len(key.encode()) <= limits.max_key_bytes:
        raise InvalidRequest(f"A key must have 1 to {limits.max_key_bytes} bytes.", param="key")
    return check_namespace(namespace, limits), key


def check_query(query: str | None) -> str | None:
    """Return the query, None where there is nothing in it. Raises InvalidRequest."""
    if query is None or not query.strip():
        return None
    if len(query) > MAX_QUERY_CHARS:
        raise InvalidRequest(f"A search may have at most {MAX_QUERY_CHARS} characters.", param="query")
    refuse_unstorable([query], param="query")
    return query


def written(
    place: Place, value: Mapping[str, Any], index: Any, ttl_minutes: float | None, limits: MemoryLimits
) -> Written:
    """Return a memory as it is stored. Raises InvalidRequest for a value that is too large, or is no JSON object."""
    encoded = to_json(dict(value))
    if len(encoded.encode()) > limits.max_value_bytes:
        raise InvalidRequest(
            f"What is remembered under one key may have at most {limits.max_value_bytes} bytes of JSON.", param="value"
        )
    text = searchable(orjson.loads(encoded), index)[: limits.max_value_bytes]
    return Written(namespace=place[0], key=place[1], value=encoded, text=text, ttl_s=_ttl_s(ttl_minutes))


def searchable(value: Mapping[str, Any], index: Any) -> str:
    """What of a value can be searched: all names, texts and numbers in it, those at the paths in `index`, or none."""
    if index is False:
        return ""
    if index is None:
        return "\n".join(_words(value))
    found = (text for path in index for text in get_text_at_path(value, tokenize_path(path)))
    return "\n".join(dict.fromkeys(found))


def conditions(filter_: Mapping[str, Any] | None) -> list[Condition]:
    """Read LangGraph's filters: what a part of a value is equal to, or {"$gt": 5} and the like; objects go into depth.

    Raises InvalidRequest for an operator that is not known, an order of what has none, and too many conditions.
    """
    found = list(_conditions(filter_ or {}, ()))
    if len(found) > MAX_CONDITIONS:
        raise InvalidRequest(f"A filter may have at most {MAX_CONDITIONS} conditions.", param="filter")
    return found


def holds(value: Mapping[str, Any], condition: Condition) -> bool:
    """Whether a value meets a condition."""
    part: Any = value
    for name in condition.path:
        if not isinstance(part, Mapping) or name not in part:
            return condition.operator == "ne"
        part = part[name]
    match condition.operator:
        case "eq":
            return _same(part, condition.operand)
        case "ne":
            return not _same(part, condition.operand)
    if _kind(part) != _kind(condition.operand):
        return False
    below, above = bool(part < condition.operand), bool(part > condition.operand)
    return {"gt": above, "gte": not below, "lt": below, "lte": not above}[condition.operator]


def matches(namespace: Namespace, wanted: Iterable[MatchCondition]) -> bool:
    """Whether a namespace begins or ends as each of the conditions says; "*" is any label."""
    return all(_matches(namespace, condition) for condition in wanted)


def _matches(namespace: Namespace, wanted: MatchCondition) -> bool:
    count = len(wanted.path)
    part = namespace[:count] if wanted.match_type == "prefix" else namespace[max(0, len(namespace) - count) :]
    return len(part) == count and all(asked in ("*", label) for asked, label in zip(wanted.path, part, strict=True))


def _conditions(filter_: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Condition]:
    if len(path) >= MAX_DEPTH:
        raise InvalidRequest(f"A filter may go at most {MAX_DEPTH} levels deep.", param="filter")
    for name, asked in filter_.items():
        refuse_unstorable([name], param="filter")
        here = (*path, name)
        if not isinstance(asked, Mapping) or not asked:
            yield _condition(here, "$eq", asked)
        elif any(key.startswith("$") for key in asked):
            for operator, operand in asked.items():
                yield _condition(here, operator, operand)
        else:
            yield from _conditions(asked, here)


def _condition(path: tuple[str, ...], operator: str, operand: Any) -> Condition:
    known = _OPERATORS.get(operator)
    if known is None:
        raise InvalidRequest(
            f"A filter has no operator {operator[:20]!r}. It has: {', '.join(_OPERATORS)}.", param="filter"
        )
    plain = orjson.loads(to_json(operand))
    if known in _ORDERED and _kind(plain) is None:
        raise InvalidRequest("Only numbers and texts can be compared by their order.", param="filter")
    return Condition(path=path, operator=known, operand=plain)


def _kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else None


def _same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal, as Postgres has it: 1 is 1.0 but not true."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def _ttl_s(minutes: float | None) -> float | None:
    if minutes is None:
        return None
    if not (math.isfinite(minutes) and 0 < minutes * 60 <= MAX_TTL_S):
        raise InvalidRequest("A memory is kept for more than 0 minutes and at most ten years.", param="ttl")
    return minutes * 60


def _words(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case bool() | None:
            return
        case int() | float():
            yield str(value)
        case dict():
            for name, part in value.items():
                yield name
                yield from _words(part)
        case list():
            for part in value:
                yield from _words(part)
