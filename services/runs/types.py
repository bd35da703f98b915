"""What a graph is handed for one run, and what it gives back: the seam between the run engine and LangGraph."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.events import RunEvent
from services.guard import Guard
from services.llm.types import ChatModel
from services.runs.checkpoints import KeptCheckpoint
from services.runs.deadline import Deadline
from services.runs.logged_run import LogRow
from services.telemetry.spans import UNTRACED, Trace
from services.types import Claim, FinishReason, Interruption, Message, Progress, Run


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


class RunLog(Protocol):
    """What a run has said, for a statement that stores how far the run has come and its log with that."""

    def unstored(self) -> Sequence[LogRow]:
        """Return all of it that is not known to be stored. Raises RunSuperseded."""
        ...

    def confirm(self, rows: Sequence[LogRow]) -> None:
        """Take note that what `unstored` returned is stored."""
        ...


class NoLog:
    """Implements `RunLog` for a run that has none."""

    def unstored(self) -> Sequence[LogRow]:
        return ()

    def confirm(self, rows: Sequence[LogRow]) -> None: ...


def unscreened(text: str) -> str:
    """Return the text: for a run that nobody sees anything of."""
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """All that a node may use beside its state; LangGraph hands it out as `runtime.context`.

    `progress` says what is to be recorded with a checkpoint that is written now; see `services.types.Progress`. `screen`
    returns a text that came from outside, such as a tool's result, as it may be read, shown and stored; it raises
    GuardrailUnavailable. What `model` says and what `events` are told is screened without further ado. `to_the_end` takes the
    last checkpoint of a turn that has its answer, to be stored with the run's end; without it that is stored before.
    """

    run: Run
    claim: Claim
    model: ChatModel
    events: EventSink
    guard: Guard
    deadline: Deadline
    prompts: Mapping[str, str]
    progress: Callable[[], Progress]
    log: RunLog = field(default_factory=NoLog)
    screen: Callable[[str], str] = unscreened
    checkpoints: RunCheckpoints = field(default_factory=NoCheckpoints)
    to_the_end: Callable[[KeptCheckpoint], None] | None = None
    trace: Trace = UNTRACED


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
