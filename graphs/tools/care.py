"""How the tools of a replica are looked after: limits per agent, breakers and an observer for all of them."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from graphs.tools.outcomes import Outcome
from services.resilience.breaker import Breaker
from services.resilience.policy import BreakerPolicy
from services.runs.effects import Effects


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLimits:
    """`timeout_s` is per call, `max_calls` per answer, sizes are characters.

    A tool that ignores its cancellation is waited for `grace_s` and then left behind; with `max_abandoned` calls of a tool
    left behind and still running, an agent calls it no more.
    """

    timeout_s: float = 20.0
    grace_s: float = 1.0
    max_abandoned: int = 8
    max_result_chars: int = 16_000
    max_argument_chars: int = 32_000
    max_calls: int = 16


TOOL_BREAKER = BreakerPolicy(slow_floor_s=ToolLimits().timeout_s)
"""A model is slow long before it is late, a tool is not: it may take all of its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled:
    """What became of one call. `tool` is the name of a tool, or `unknown` for one that a model invented.

    `duration_s` is None for a call that was not made or that its run did not wait for. `abandoned` says that a call that
    was out of time ignored its cancellation, and is still running.
    """

    tool: str
    outcome: Outcome
    duration_s: float | None = None
    abandoned: bool = False


class ToolObserver(Protocol):
    """Told once of every call, when it has ended. Must neither wait nor raise."""

    def tool_called(self, call: ToolCalled) -> None: ...


class Unobserved:
    """Implements `ToolObserver` by ignoring it."""

    def tool_called(self, call: ToolCalled) -> None: ...


def new_fence() -> str:
    """Return a delimiter that nobody can guess."""
    return secrets.token_hex(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCare:
    """One per replica, so that what a tool did to one run is known to the next. `breakers` are by the tool's name: a tool
    without one is always called. Without a `ledger` no agent can have a tool whose calls go by it. `fence` makes the
    delimiter of a result from outside.
    """

    limits: ToolLimits = field(default_factory=ToolLimits)
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    observer: ToolObserver = field(default_factory=Unobserved)
    ledger: Effects | None = None
    fence: Callable[[], str] = new_fence
