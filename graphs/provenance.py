"""Where a message of a thread came from, and what a model had read when it asked for a call.

    user            what the user wrote, marked when it comes in: only such text is the user's own words
    system          the operator's prompts, and the client's own system messages
    model           what a model wrote
    tool:<name>     a tool's result; it taints, unless it is marked as trusted
    memory          a note of a tainted turn
    client          what a client sent as an assistant's or a tool's: nobody knows what that stands on
    unknown         the rest of a conversation, where a graph does not show what was said to it
    flagged input   what the user wrote, where the input guard flagged it

Taint is what the messages say, so it is in the state: it survives checkpoints, questions and take-over, and what a thread has
read taints its later turns too, for their models read it again. It is never taken back: of what models are no longer shown
their notes may tell, and their answers.

Marks are kept in `additional_kwargs`, which no client and no tool can write. A message without one gets the worst reading: a
result taints, and what looks like the user's is not the user's words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from services.types import Run

MARK = "mainstay_provenance"

USER, SYSTEM, MODEL, MEMORY, CLIENT, UNKNOWN = "user", "system", "model", "memory", "client", "unknown"
FLAGGED_INPUT = "flagged input"

M = TypeVar("M", bound=BaseMessage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """`tainted_by` names what came from outside and is in the message, or led to it. `words` are the user's own that stand
    behind a message of an agent to another. `fence` is the delimiter of a result, which nobody knows before it is made.
    """

    origin: str
    tainted_by: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    fence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a model had read: the origins of taint, in the order in which they came, and the user's own words."""

    tainted_by: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def tainted(self) -> bool:
        return bool(self.tainted_by)

    def and_by(self, origins: Iterable[str]) -> "Seen":
        """Return the same with more taint."""
        return Seen(tainted_by=tuple(dict.fromkeys((*self.tainted_by, *origins))), words=self.words)


def seen_in(messages: Sequence[BaseMessage], run: Run) -> Seen:
    """Return what a model has read that has read these messages, in this run. They have to begin with what was said to it."""
    found = [(message, provenance_of(message)) for message in messages]
    # What was flagged may hold anybody's words: somebody pastes a page, and asks what it says.
    own = [
        str(message.text)
        for message, one in found
        if isinstance(message, HumanMessage) and one.origin == USER and not one.tainted_by
    ]
    words = (*own, *(text for _, one in found for text in one.words))
    whole = any(isinstance(message, HumanMessage) and MARK in message.additional_kwargs for message in messages)
    at_first = [*([FLAGGED_INPUT] if run.flagged else []), *([] if whole else [UNKNOWN])]
    return Seen(words=words).and_by([*at_first, *(origin for _, one in found for origin in one.tainted_by)])


def provenance_of(message: BaseMessage) -> Provenance:
    """Return what is marked on a message, or what counts where nothing is."""
    mark = message.additional_kwargs.get(MARK)
    if isinstance(mark, dict):
        return Provenance(
            origin=mark.get("origin", MODEL),
            tainted_by=tuple(mark.get("tainted_by", ())),
            words=tuple(mark.get("words", ())),
            fence=mark.get("fence", ""),
        )
    if isinstance(message, ToolMessage):
        origin = f"tool:{message.name or 'unknown'}"
        return Provenance(origin=origin, tainted_by=(origin,))
    return Provenance(origin=SYSTEM if isinstance(message, SystemMessage) else MODEL)


def marked(message: M, provenance: Provenance) -> M:
    """Return the message with its provenance, as plain data that any checkpoint holds."""
    mark: dict[str, str | list[str]] = {"origin": provenance.origin}
    if provenance.tainted_by:
        mark["tainted_by"] = list(provenance.tainted_by)
    if provenance.words:
        mark["words"] = list(provenance.words)
    if provenance.fence:
        mark["fence"] = provenance.fence
    return message.model_copy(update={"additional_kwargs": {**message.additional_kwargs, MARK: mark}})


def incoming(message: BaseMessage, run: Run) -> BaseMessage:
    """Return a message of a run's input with where it came from."""
    match message:
        case HumanMessage():
            return marked(message, Provenance(origin=USER, tainted_by=(FLAGGED_INPUT,) if run.flagged else ()))
        case AIMessage() | ToolMessage():
            return marked(message, Provenance(origin=CLIENT, tainted_by=(CLIENT,)))
        case _:
            return message


def handed_on(message: M, seen: Seen) -> M:
    """Return a message that an agent wrote to another, or to the thread, with what that agent had read."""
    return marked(message, Provenance(origin=MODEL, tainted_by=seen.tainted_by, words=seen.words))
