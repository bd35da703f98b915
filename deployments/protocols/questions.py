"""A run's questions to a person as plain text, for protocols that have no other shape for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from services.types import Interruption


def question_text(interrupts: Sequence[Interruption]) -> str:
    """Return what is asked, for each call that needs a decision the call and what is said of it."""
    lines = [line for interruption in interrupts for line in _lines(interruption.value)]
    return "\n".join(lines)


def _lines(value: Any) -> list[str]:
    requests = value.get("action_requests") if isinstance(value, Mapping) else None
    if not isinstance(requests, list):
        return [value if isinstance(value, str) else orjson.dumps(value).decode()]
    return [f"This needs your decision: {_call(request)}" for request in requests]


def _call(request: Any) -> str:
    """One call, as it would be made; a graph of one's own may ask in another shape."""
    match request:
        case {"name": str(name), "args": args, **more}:
            said = more.get("description")
            return f"{name}({orjson.dumps(args).decode()})" + (f"\n{said}" if isinstance(said, str) else "")
        case _:
            return orjson.dumps(request).decode()
