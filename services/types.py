"""The values that the whole of Mainstay speaks in: messages, threads, and runs from the request to the outcome.

All are frozen and carry nothing but data, so they cross process boundaries by pickling and are compared by value.
Times are seconds as float, sizes are characters unless the name says bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from services.errors import Failure
from services.security.permissions import Permission

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "content_filter"]
JsonObject = dict[str, Any]


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
    failed: bool = False
    """In a run's outcome: this says why a tool gave no result. It is not stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking, and for what at most. Every stored row and every query by id is scoped to `tenant_id`.

    `key_id` is None for whoever came with a token of the identity provider, and for a command of an operator's.
    """

    tenant_id: str
    user_id: str
    key_id: UUID | None = None
    permissions: frozenset[Permission] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Model tokens. `cached_tokens` are part of `input_tokens`, `reasoning_tokens` part of `output_tokens`.

    `cost_micros` is what they cost by the price list, in millionths of its currency.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    model_calls: int = 0
    estimated: bool = False
    """True where a provider was cut off before it could report, so that output tokens were counted from the text."""
    cost_micros: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            model_calls=self.model_calls + other.model_calls,
            estimated=self.estimated or other.estimated,
            cost_micros=self.cost_micros + other.cost_micros,
        )


class OnDisconnect(StrEnum):
    """What a client's hang-up does to its run."""

    CANCEL = "cancel"
    CONTINUE = "continue"


class RunStatus(StrEnum):
    """`queued` waits for its thread or for an agent; `pending` and `running` are live, and a thread has at most one such run.

    The others are terminal and never change again. `interrupted` is a turn that ended with a question to a person: what is
    decided comes as another run of the thread.
    """

    QUEUED = "queued"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        return self not in _UNENDED


_UNENDED = frozenset({RunStatus.QUEUED, RunStatus.PENDING, RunStatus.RUNNING})


class CancelAction(StrEnum):
    """What becomes of what a cancelled run had said: it is kept, or the run is as if it had never been."""

    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"


class Multitask(StrEnum):
    """What becomes of a turn that is sent to a thread while another one has not ended there.

    `reject` refuses it. `enqueue` has it wait for its place. `interrupt` and `rollback` stop whatever has not ended in the
    thread, and then run it: what was stopped is kept as far as it came, or is as if it had never been.
    """

    REJECT = "reject"
    ENQUEUE = "enqueue"
    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EventId:
    """Where an event stands in its run's log; written `{attempt}-{seq}`, and ordered."""

    attempt: int
    seq: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.seq}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """The right to write for a run: it holds until the run is taken over, which raises its attempt."""

    run_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What a client may ask of the model; None means the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """The name that a client gave its request, so that it may send it again; `digest` is the SHA-256 of what it asked for."""

    key: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """How a run is to be taken in, beside what it is to do. With `webhook_url` its end is told there."""

    multitask: Multitask = Multitask.REJECT
    idempotency: IdempotencyKey | None = None
    webhook_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a client protocol makes of one HTTP body: a turn to run, before it has an id.

    `thread_id` None starts a new thread. An `ephemeral` thread is one that the client cannot come back to (a stateless
    protocol resends its history each time): it is kept for the record, not listed, and remembered only as far as its run needs
    that to be taken over. `timeout_s` is how long the client gives the whole turn, from the moment its request was read, or of
    a `background` run from when an agent takes it; None is as long as the operator allows.

    With `decisions` instead of messages the turn goes on with an interrupted one: see `Run.decisions`.
    """

    graph: str
    messages: tuple[Message, ...]
    thread_id: UUID | None = None
    timeout_s: float | None = None
    ephemeral: bool = False
    options: ModelOptions = field(default_factory=ModelOptions)
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL
    metadata: Mapping[str, str] = field(default_factory=dict)
    decisions: tuple[Mapping[str, Any], ...] | None = None
    background: bool = False
    priority: int = 0
    submission: Submission = field(default_factory=Submission)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """A question to a person. `value` is JSON: of calls under approval their names, arguments and what may be decided."""

    id: str
    value: Any


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
    attempt: int = 0
    """How often an agent has taken the run."""
    timeout_s: float | None = None
    """How long the whole turn may take, counted by Postgres from `created_at`. Set by whoever creates the run."""
    background: bool = False
    """Whether it waits in the queue for an agent that has time, with nobody reading it."""
    priority: int = 0
    """Of the runs in the queue the lowest goes first."""
    cancel_reason: str | None = None
    """Why somebody wanted it stopped."""
    interrupts: tuple[Interruption, ...] = ()
    """What it asks a person, when it is interrupted."""
    decisions: tuple[Mapping[str, Any], ...] | None = None
    """What a person decided, where the run goes on with an interrupted one instead of a message: one per call asked about, in
    order, each `{"type": "approve" | "edit" | "reject" | "respond"}` with `edited_action: {name, args}` or `message`."""
    flagged: bool = False
    """Whether the guard found its input suspect and let it pass: the turn is not to be trusted."""
    traceparent: str | None = None
    """Where in which trace it began, as the W3C writes it: whoever works for it goes on there."""
    request_id: str | None = None
    """The request that asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run had come at its last checkpoint: the event after which all that followed is void when it is resumed
    there, the usage up to it, and what the run had said.
    """

    event_id: EventId
    usage: Usage
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that an agent replica has taken, with the seconds it has left.

    `crashes` counts the owners it has lost since it last progressed. `progress` is None where it begins from its input.
    `blank_thread` says that its thread is known to have no checkpoints.
    """

    run: Run
    remaining_s: float
    crashes: int = 0
    progress: Progress | None = None
    blank_thread: bool = False

    @property
    def fence(self) -> Fence:
        return Fence(run_id=self.run.id, attempt=self.run.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Somebody's wish that a run be stopped, on its way to the run's owner."""

    run_id: UUID
    action: CancelAction
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended: written once, in one transaction, together with the messages it added to the thread.

    `prompt_version` is of the prompts that it began with, where it ran.
    """

    status: RunStatus
    messages: tuple[Message, ...]
    usage: Usage
    provider: str | None = None
    model: str | None = None
    prompt_version: str = ""
    finish_reason: FinishReason | None = None
    failure: Failure | None = None
    interrupts: tuple[Interruption, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    id: UUID
    tenant_id: str
    user_id: str
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTicket:
    """What travels to an agent replica: the id of a stored run, never its history, and the seconds it had left when sent.

    `reader` is the ingress replica that reads it, whose runs share frames; without it the run shares with none.
    """

    run_id: UUID
    remaining_s: float
    reader: UUID | None = None
