"""What one request asks of the simulation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

_OPENING = "[[simulate"
_NUMBER = (int, float)
_KINDS: dict[str, type | tuple[type, ...]] = {
    "tokens": int,
    "head_s": _NUMBER,
    "first_token_s": _NUMBER,
    "token_s": _NUMBER,
    "stamp": bool,
    "text": str,
    "echo": str,
    "chunks": tuple,
    "reasoning": int,
    "finish_reason": str,
    "tool_calls": tuple,
    "tool_rounds": int,
    "fault": str,
    "after": int,
    "times": int,
    "at_step": int,
    "retry_after_s": _NUMBER,
    "location": str,
}


class DirectiveError(ValueError):
    """The directive cannot be read; the upstream answers 400 so that a test fails on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """How one request is answered. Every field may be given as JSON, in the last user message (`[[simulate {...}]]`),
    in an `x-simulate` header or in `metadata.simulate` of the body; looked for in that order. Only the first form
    survives a pass through an agent."""

    tokens: int = 16
    """Length of the deterministic answer, about four characters a token."""
    head_s: float = 0.0
    """Until the status line; also of a refusal."""
    first_token_s: float = 0.0
    """From the status line to the first token."""
    token_s: float = 0.0
    stamp: bool = False
    """Each token carries its send time (`benchmarks.stamps`)."""
    text: str | None = None
    """This answer instead of the deterministic one, cut every four characters."""
    echo: str | None = None
    """A pattern: what its group finds first in the conversation stands in `text` for `{echo}`, once."""
    chunks: tuple[str, ...] | None = None
    """This answer, cut exactly here: one delta per entry."""
    reasoning: int = 0
    """Tokens of `reasoning_content` before the answer."""
    finish_reason: str | None = None
    """Instead of `stop` or `tool_calls`."""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """Calls to make, in parallel: {"name": ..., "arguments": object, or a string sent as it is}."""
    tool_rounds: int = 1
    """For how many model calls of one turn `tool_calls` (or arithmetic) is asked for before the answer is given."""
    fault: str | None = None
    """A name from FAULTS."""
    after: int = 3
    """Deltas sent before a fault of a stream strikes."""
    times: int | None = None
    """Only the first so many attempts of the same request are faulted; every one by default."""
    at_step: int | None = None
    """Only this model call of the turn is faulted: 0 is the call that answers the user, 1 the one after the first tool
    results."""
    retry_after_s: float = 1.0
    """How long a 429 or 503 asks its client to stay away, in whichever form."""
    location: str = "http://elsewhere.invalid/v1/chat/completions"
    """Where a redirect leads: by default to a host that there is not."""

    @classmethod
    def from_json(cls, value: object) -> "Directive":
        """Raises DirectiveError on anything but an object of known fields."""
        if not isinstance(value, dict):
            raise DirectiveError(f"a directive is a JSON object, not {value!r}")
        if unknown := value.keys() - _KINDS.keys():
            raise DirectiveError(f"unknown in a directive: {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
        for name, item in values.items():
            if not isinstance(item, _KINDS[name]) or (isinstance(item, int | float) and item < 0):
                raise DirectiveError(f"{name} cannot be {item!r} in a directive")
        return cls(**values)

    def in_message(self) -> str:
        """The form for the end of a user message: only what differs from the defaults."""
        plain = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
        return f"{_OPENING} {json.dumps(plain)}]]"


def directive_in(text: str) -> Directive | None:
    """The first `[[simulate {...}]]` in the text."""
    start = text.find(_OPENING)
    if start < 0:
        return None
    rest = text[start + len(_OPENING) :].lstrip()
    try:
        value, end = json.JSONDecoder().raw_decode(rest)
    except ValueError as error:
        raise DirectiveError(f"unreadable directive: {error}") from error
    if not rest[end:].lstrip().startswith("]]"):
        raise DirectiveError("a directive in a message ends with ]]")
    return Directive.from_json(value)


def directive_of(*, message: str, header: str | None, metadata: object) -> Directive | None:
    """The directive of one request, or None when it carries none."""
    found = directive_in(message)
    if found is not None:
        return found
    simulate = header if header is not None else metadata.get("simulate") if isinstance(metadata, dict) else None
    if simulate is None:
        return None
    if not isinstance(simulate, str):
        return Directive.from_json(simulate)
    try:
        return Directive.from_json(json.loads(simulate))
    except json.JSONDecodeError as error:
        raise DirectiveError(f"unreadable directive: {error}") from error
