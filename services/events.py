"""What happens in a run, as everybody is told of it: in its log, between processes, and, in the form of a protocol, to clients.

Like the values of `services.types` events are frozen, and nothing but data.
"""

from dataclasses import dataclass
from uuid import UUID

from services.errors import Failure
from services.guard import Action, Stage
from services.types import EventId, FinishReason, Interruption, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    run_id: UUID
    thread_id: UUID
    graph: str
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRestarted:
    """The replica that ran the run was lost, and another took it over: what came after `keep` is void, and comes anew.

    Without `keep` all of it is, and a RunStarted follows. The first event of its attempt.
    """

    attempt: int
    keep: EventId | None


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
    stage: Stage
    rule: str
    action: Action
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retracted:
    """What was shown of the answer from character `from_char` on, up to `to_char`, is taken back: it was shown before it was
    judged. Characters are code points of all the answer's text, in every `TextDelta` without a source. The log does not have
    that text; what it has is emptied of it, so that the event changes nothing for whoever reads the log.
    """

    from_char: int
    to_char: int
    rule: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInterrupted:
    """The turn ended with questions; it goes on in another run of the thread, with what was decided."""

    interrupts: tuple[Interruption, ...]
    usage: Usage
    duration_s: float


TerminalEvent = RunCompleted | RunFailed | RunCancelled | RunInterrupted
RunEvent = (
    RunStarted
    | RunRestarted
    | TextDelta
    | ReasoningDelta
    | ToolStarted
    | ToolFinished
    | HandedOver
    | GuardrailTripped
    | Retracted
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunInterrupted
)
TERMINAL_EVENTS = (RunCompleted, RunFailed, RunCancelled, RunInterrupted)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """Consecutive events of one run as they cross a process boundary: the first has id `{attempt}-{first_seq}`.

    Adjacent text deltas of one source were merged when the batch was formed, so a batch *is* the events: every reader,
    live or later, sees the same ones. Where the answer is shown ahead of its verdict, `unjudged_from` is the character from
    which on it has none yet: nobody may keep that.
    """

    attempt: int
    first_seq: int
    events: tuple[RunEvent, ...]
    unjudged_from: int | None = None

    @property
    def terminal(self) -> bool:
        return isinstance(self.events[-1], TERMINAL_EVENTS)

    @property
    def last(self) -> EventId:
        """The id of its last event."""
        return EventId(attempt=self.attempt, seq=self.first_seq + len(self.events) - 1)
