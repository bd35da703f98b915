"""What a graph is handed for one run, and what it gives back: the seam between the run engine and LangGraph."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.llm.types import ChatModel
from services.runs.deadline import Deadline
from services.types import Claim, EventId, FinishReason, Guard, Interruption, Message, Progress, Run, RunEvent


class EventSink(Protocol):
    """Where a running graph reports what it does. `emit` only appends; see `TextSink.drain` for back-pressure."""

    def emit(self, event: RunEvent) -> None: ...

    async def drain(self) -> None: ...


class RunCheckpoints(Protocol):
    """The checkpoints of a run at work."""

    async def flush(self) -> None:
        """Return once the newest checkpoint is stored: whoever takes the run over goes on there.

        Raises StoreUnavailable, and RunSuperseded.
        """
        ...


class NoCheckpoints:
    """Implements `RunCheckpoints` for a run that has none."""

    async def flush(self) -> None: ...


async def not_logged(event_id: EventId) -> None:
    """The `logged` of a run without a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """All that a node may use beside its state; LangGraph hands it out as `runtime.context`.

    `progress` says what is to be recorded with a checkpoint that is written now; see `services.types.Progress`. `logged`
    returns once the log holds everything up to an event: what a checkpoint says has been said must be in the log before it is
    stored, or whoever reads the run from there would never see it. It raises StoreUnavailable and RunSuperseded.
    """

    run: Run
    claim: Claim
    model: ChatModel
    events: EventSink
    guard: Guard
    deadline: Deadline
    prompts: Mapping[str, str]
    progress: Callable[[], Progress]
    logged: Callable[[EventId], Awaitable[None]] = not_logged
    checkpoints: RunCheckpoints = field(default_factory=NoCheckpoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphResult:
    """The messages this turn added after its input, oldest first, and why the last one ended.

    With `interrupts` the turn ended with these questions to a person, and not with an answer.
    """

    messages: tuple[Message, ...]
    finish_reason: FinishReason = "stop"
    interrupts: tuple[Interruption, ...] = ()


class Graph(Protocol):
    """A compiled agent. `invoke` runs one turn to its end; what it streams goes through the context.

    Raises a `MainstayError` (`StepLimitExceeded` when it takes more steps than allowed) or whatever a bug in a node
    raises, which the engine records as `InternalError`.
    """

    async def invoke(self, context: RunContext) -> GraphResult: ...
