"""What a guard is asked, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Stage(StrEnum):
    INPUT = "input"
    TOOL_CALL = "tool_call"
    """No guard is asked: the gate of the tools decides by itself, and reports what it stops."""
    TOOL_RESULT = "tool_result"
    OUTPUT = "output"


class Action(StrEnum):
    """In order of severity: a chain's verdict is its most severe."""

    ALLOW = "allow"
    REDACT = "redact"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a guardrail says of a text. `rule` and `message` are set unless it allows; the message is safe to show."""

    action: Action
    rule: str | None = None
    message: str | None = None
    replacement: str | None = None


ALLOWED = Verdict(action=Action.ALLOW)


class Guard(Protocol):
    """The guard on every route. It fails closed: no verdict means `GuardrailUnavailable`, never `ALLOWED`."""

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict: ...
