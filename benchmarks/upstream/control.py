"""The routes by which a test in another process asks and steers: nothing of OpenAI's API."""

from collections.abc import Mapping
from typing import Any

import orjson

from benchmarks.upstream.directive import Directive, DirectiveError
from benchmarks.upstream.faults import fault_of
from benchmarks.upstream.record import Record
from benchmarks.upstream.reply import Reply, whole
from benchmarks.upstream.schedule import Schedule

_AT_LEAST = {"accepted", "received", "completed", "faulted", "closed", "ended"}
_AT_MOST = {"open", "connected"}


async def report(seen: Record, query: Mapping[str, str], schedule: Mapping[str, Any] | None) -> Reply:
    """GET /_seen: what was seen. With `?closed=1&completed=2&open=0&timeout_s=5` it waits until each count is reached (open
    and connected: fallen to); raises TimeoutError when the time is over."""
    wanted = {name: int(value) for name, value in query.items() if name in _AT_LEAST}
    allowed = {name: int(value) for name, value in query.items() if name in _AT_MOST}

    def reached(record: Record) -> bool:
        enough = all(getattr(record, name) >= count for name, count in wanted.items())
        return enough and all(getattr(record, name) <= count for name, count in allowed.items())

    await seen.until(reached, timeout_s=float(query.get("timeout_s", "5")))
    lists = {
        "requests": [request.to_json() for request in seen.requests],
        "connections": [connection.to_json() for connection in seen.connections],
    }
    return whole(orjson.dumps({**seen.summary(), "schedule": schedule, **lists}))


def default_in(body: bytes) -> Directive:
    """PUT /_default: how requests without a directive are answered from now on; a fault here is an outage, `{}` ends it.
    Raises DirectiveError."""
    directive = Directive.from_json(_json(body))
    fault_of(directive)
    return directive


def schedule_in(body: bytes) -> Schedule | None:
    """PUT /_schedule: begins at once; an empty list takes the schedule away. Raises DirectiveError."""
    value = _json(body)
    return None if value == [] else Schedule.from_json(value)


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise DirectiveError(f"no JSON: {problem}") from problem
