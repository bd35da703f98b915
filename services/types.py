"""The values that the whole of Mainstay speaks in: messages, a run's request, its events, verdicts, samples and scores.

All are frozen and carry nothing but data, so they cross process boundaries by pickling and are compared by value.
Times are seconds as float, sizes are characters unless the name says bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol
from uuid import UUID

from services.errors import Failure

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "content_filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call the model asked for; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    incomplete: bool = False
    """In a thread's history: this is what a run had said when it failed or was cancelled. Nobody else sets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking. Every stored row and every query by id is scoped to `tenant_id`."""

    tenant_id: str
    user_id: str
    key_id: UUID | None = None
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Model tokens. `cached_tokens` are part of `input_tokens`, `reasoning_tokens` part of `output_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    model_calls: int = 0
    estimated: bool = False
    """True where a provider was cut off before it could report, so that output tokens were counted from the text."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            model_calls=self.model_calls + other.model_calls,
            estimated=self.estimated or other.estimated,
        )


class OnDisconnect(StrEnum):
    """What a client's hang-up does to its run."""

    CANCEL = "cancel"
    CONTINUE = "continue"


class RunStatus(StrEnum):
    """`pending` and `running` are live; the others are terminal and never change again."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What a client may ask of the model; None means the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a client protocol makes of one HTTP body: a turn to run, before it has an id.

    `thread_id` None starts a new thread. An `ephemeral` thread is one that the client cannot come back to (a stateless
    protocol resends its history each time): it is kept for the record, not listed, and has no checkpoints. `timeout_s` is
    how long the client gives the whole turn, from the moment its request was read; None is as long as the operator allows.
    """

    graph: str
    messages: tuple[Message, ...]
    thread_id: UUID | None = None
    timeout_s: float | None = None
    ephemeral: bool = False
    options: ModelOptions = field(default_factory=ModelOptions)
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One turn of a thread, as stored. `messages` are this turn's input; earlier turns live in the checkpoint.

    `new_thread` says that the run begins its thread; otherwise the thread must exist and be the principal's.
    """

    id: UUID
    thread_id: UUID
    new_thread: bool = False
    tenant_id: str
    user_id: str
    graph: str
    status: RunStatus
    messages: tuple[Message, ...]
    ephemeral: bool = False
    options: ModelOptions = field(default_factory=ModelOptions)
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    finish_reason: FinishReason | None = None
    failure: Failure | None = None
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended: written once, in one transaction, together with the messages it added to the thread."""

    status: RunStatus
    messages: tuple[Message, ...]
    usage: Usage
    provider: str | None = None
    model: str | None = None
    finish_reason: FinishReason | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    id: UUID
    tenant_id: str
    user_id: str
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    run_id: UUID
    thread_id: UUID
    graph: str
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A piece of the answer. `source` names the agent that speaks where a graph has several."""

    text: str
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta:
    """A piece of what a reasoning model shows of its thinking: not part of the answer, never sent back to a model."""

    text: str
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted:
    call_id: str
    name: str
    arguments: str
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished:
    """`result` is what the model reads, an error text where `ok` is False."""

    call_id: str
    name: str
    ok: bool
    result: str
    duration_s: float
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """One agent of a graph gave the turn to another."""

    from_agent: str
    to_agent: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailTripped:
    stage: "Stage"
    rule: str
    action: "Action"
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCompleted:
    finish_reason: FinishReason
    usage: Usage
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed:
    """`partial` is True where text was already shown: the client must not take it for the whole answer."""

    failure: Failure
    partial: bool
    usage: Usage
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled:
    reason: str
    usage: Usage
    duration_s: float


TerminalEvent = RunCompleted | RunFailed | RunCancelled
RunEvent = (
    RunStarted
    | TextDelta
    | ReasoningDelta
    | ToolStarted
    | ToolFinished
    | HandedOver
    | GuardrailTripped
    | RunCompleted
    | RunFailed
    | RunCancelled
)
TERMINAL_EVENTS = (RunCompleted, RunFailed, RunCancelled)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """Consecutive events of one run as they cross a process boundary: the first has id `{attempt}-{first_seq}`.

    Adjacent text deltas of one source were merged when the batch was formed, so a batch *is* the events: every reader,
    live or later, sees the same ones.
    """

    attempt: int
    first_seq: int
    events: tuple[RunEvent, ...]

    @property
    def terminal(self) -> bool:
        return isinstance(self.events[-1], TERMINAL_EVENTS)


# --- guardrails -------------------------------------------------------------------------------------------------------


class Stage(StrEnum):
    INPUT = "input"
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


# --- evaluation -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One finished run as a judge sees it. `weight` is 1 / the probability with which it was taken."""

    run_id: UUID
    tenant_id: str
    graph: str
    question: str
    answer: str
    tool_results: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A criterion's value for one run. `value` None is *unscored*, for the reason given: never to be read as 0."""

    run_id: UUID
    tenant_id: str
    criterion: str
    value: float | None
    reason: str
    judge_model: str
    rubric_version: str
    weight: float = 1.0


class SampleSink(Protocol):
    """Where finished runs are offered for judging. Never waits and never raises: a full sink drops and counts."""

    def offer(self, sample: Sample) -> None: ...


# --- the agent as its callers see it ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTicket:
    """What travels to an agent replica: the id of a stored run, never its history, and the seconds it had left when sent."""

    run_id: UUID
    remaining_s: float


JsonObject = dict[str, Any]
