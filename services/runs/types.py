"""What a graph is handed for one run, and what it gives back: the seam between the run engine and LangGraph."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.llm.types import ChatModel
from services.runs.deadline import Deadline
from services.types import FinishReason, Guard, Message, Run, RunEvent


class EventSink(Protocol):
    """Where a running graph reports what it does. `emit` only appends; see `TextSink.drain` for back-pressure."""

    def emit(self, event: RunEvent) -> None: ...

    async def drain(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """All that a node may use beside its state; LangGraph hands it out as `runtime.context`."""

    run: Run
    model: ChatModel
    events: EventSink
    guard: Guard
    deadline: Deadline
    prompts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphResult:
    """The messages this turn added after its input, oldest first, and why the last one ended."""

    messages: tuple[Message, ...]
    finish_reason: FinishReason = "stop"


class Graph(Protocol):
    """A compiled agent. `invoke` runs one turn to its end; what it streams goes through the context.

    Raises a `MainstayError` (`StepLimitExceeded` when it takes more steps than allowed) or whatever a bug in a node
    raises, which the engine records as `InternalError`.
    """

    async def invoke(self, context: RunContext) -> GraphResult: ...
