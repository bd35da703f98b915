"""What a guard is asked, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

UNJUDGED = "semantic.unjudged"
"""The rule by which a text is taken back that was shown and never judged: its run was stopped or lost, or a check failed."""


class Stage(StrEnum):
    INPUT = "input"
    TOOL_CALL = "tool_call"
    """No guard is asked: the gate of the tools decides by itself, and reports what it stops."""
    TOOL_RESULT = "tool_result"
    OUTPUT = "output"


class Action(StrEnum):
    """In order of severity: a chain's verdict is its most severe.

    What is flagged passes as it is, and its turn is not to be trusted.
    """

    ALLOW = "allow"
    FLAG = "flag"
    REDACT = "redact"
    BLOCK = "block"

    @property
    def passes(self) -> bool:
        """Whether the text goes on as it is."""
        return self in (Action.ALLOW, Action.FLAG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a guardrail says of a text. `rule` and `message` are set unless it allows; the message is safe to show.

    `score` is from 0 to 1, of a rule that has one.
    """

    action: Action
    rule: str | None = None
    message: str | None = None
    replacement: str | None = None
    score: float | None = None


ALLOWED = Verdict(action=Action.ALLOW)

_SEVERITY = {action: severity for severity, action in enumerate(Action)}


def worst(first: Verdict, second: Verdict) -> Verdict:
    """Return the more severe of two verdicts; of two equal ones the first that has a score, or else the first."""
    more = _SEVERITY[second.action] - _SEVERITY[first.action]
    return second if more > 0 or (more == 0 and first.score is None and second.score is not None) else first


class Guard(Protocol):
    """The guard on every route. It fails closed: no verdict means `GuardrailUnavailable`, never `ALLOWED`."""

    async def check(self, texts: Sequence[str], stage: Stage) -> Verdict: ...
