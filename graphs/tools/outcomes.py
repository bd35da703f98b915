"""How a tool call can end, and what the model reads when it did not end well.

An error text says what went wrong and what the model may do about it. It is never the text of a foreign exception: those
hold addresses, keys and paths, and belong in the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from langchain_core.messages.tool import ToolOutputMixin

from graphs.tools.results import storable


class Outcome(StrEnum):
    """How a call ended, as it is counted."""

    OK = "ok"
    ERROR = "error"
    """The tool said that it could not, or broke."""
    TIMEOUT = "timeout"
    REFUSED = "refused"
    """Not called: no such tool, wrong arguments, or too many calls. The model's mistake."""
    UNAVAILABLE = "unavailable"
    """Not called: the tool failed repeatedly."""
    BLOCKED = "blocked"
    """A guardrail withheld the result."""
    CANCELLED = "cancelled"
    """The run ended first. Says nothing of the tool."""
    UNCERTAIN = "uncertain"
    """It has an effect, and was begun by a replica that was lost: nobody knows whether it took effect."""
    REJECTED = "rejected"
    """Not called: a person did not allow it."""
    ANSWERED = "answered"
    """Not called: a person gave the result."""
    HELD = "held"
    """Not called: something from outside had been read, nobody had named whom it would reach, and nobody could be asked."""


class Problem(StrEnum):
    """What can go wrong with a call. One row of `ADVICE` each."""

    TOO_MANY = "too_many"
    NO_SUCH_TOOL = "no_such_tool"
    NO_OBJECT = "no_object"
    TOO_LONG = "too_long"
    WRONG_ARGUMENTS = "wrong_arguments"
    UNAVAILABLE = "unavailable"
    LATE = "late"
    GAVE_UP = "gave_up"
    RUN_OVER = "run_over"
    UNREACHABLE = "unreachable"
    DECLINED = "declined"
    FAILED = "failed"
    BROKEN = "broken"
    NO_TEXT = "no_text"
    WITHHELD = "withheld"
    UNCERTAIN = "uncertain"
    UNATTENDED = "unattended"
    REJECTED = "rejected"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A row of the table. `fault` says that it counts against the tool's breaker: the tool, not its caller, is to blame."""

    outcome: Outcome
    text: str
    fault: bool = False


ADVICE: Mapping[Problem, Advice] = {
    Problem.TOO_MANY: Advice(
        outcome=Outcome.REFUSED,
        text="Not called: at most {max_calls} tool calls are answered at once. Ask again for this one.",
    ),
    Problem.NO_SUCH_TOOL: Advice(
        outcome=Outcome.REFUSED, text="There is no tool called {asked!r}. The tools are: {known}."
    ),
    Problem.NO_OBJECT: Advice(
        outcome=Outcome.REFUSED,
        text="The arguments of {name} must be one JSON object. Write them anew. This is not: {arguments}",
    ),
    Problem.TOO_LONG: Advice(
        outcome=Outcome.REFUSED,
        text="The arguments of {name} are too long: {chars} characters, at most {max_chars}. Write less.",
    ),
    Problem.WRONG_ARGUMENTS: Advice(
        outcome=Outcome.REFUSED, text="The arguments of {name} are wrong. Correct them and call it again. {details}"
    ),
    Problem.UNAVAILABLE: Advice(
        outcome=Outcome.UNAVAILABLE,
        text="{name} is not available right now (it failed repeatedly); go on without it and say so.",
    ),
    Problem.LATE: Advice(
        outcome=Outcome.TIMEOUT,
        text="{name} did not finish within {timeout_s:g} s and was stopped. Ask it for less, or go on without it and say so.",
        fault=True,
    ),
    Problem.GAVE_UP: Advice(
        outcome=Outcome.TIMEOUT,
        text="{name} failed: what it asked did not answer in time. Do not repeat the call; go on without it and say so.",
        fault=True,
    ),
    Problem.RUN_OVER: Advice(
        outcome=Outcome.CANCELLED, text="{name} was stopped: there is no time left. Answer with what you have."
    ),
    Problem.UNREACHABLE: Advice(
        outcome=Outcome.ERROR,
        text="{name} failed: what it needs cannot be reached. Do not repeat the call; go on without it and say so.",
        fault=True,
    ),
    Problem.DECLINED: Advice(
        outcome=Outcome.ERROR, text="{name} failed: {message} Try other arguments, or go on without it and say so."
    ),
    Problem.FAILED: Advice(
        outcome=Outcome.ERROR, text="{name} failed. Try other arguments, or go on without it and say so."
    ),
    Problem.BROKEN: Advice(
        outcome=Outcome.ERROR,
        text="{name} failed with an internal error. Try other arguments, or go on without it and say so.",
        fault=True,
    ),
    Problem.NO_TEXT: Advice(
        outcome=Outcome.ERROR,
        text="{name} returned nothing that can be read. Do not repeat the call; go on without it and say so.",
        fault=True,
    ),
    Problem.WITHHELD: Advice(
        outcome=Outcome.BLOCKED,
        text="The result was withheld by a guardrail. Do not ask for it again; say that you cannot show it.",
    ),
    Problem.UNCERTAIN: Advice(
        outcome=Outcome.UNCERTAIN,
        text="{name} was interrupted, and nobody knows whether it took effect. Do not assume that it did, or that it did not,"
        " and do not call it again; say so.",
    ),
    Problem.UNATTENDED: Advice(
        outcome=Outcome.REFUSED,
        text="{name} was not called: a person has to approve it, and nobody can be asked here. Go on without it and say so.",
    ),
    Problem.REJECTED: Advice(
        outcome=Outcome.REJECTED,
        text="{name} was not called: a person did not allow it. Do not ask for it again; go on without it.",
    ),
    Problem.HELD: Advice(
        outcome=Outcome.HELD,
        text="{name} was not called: text from outside was read before ({origins}), and nobody has named its target. Go on"
        " without it; say that the user has to name it.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(ToolOutputMixin):
    """What the model will read of a call; LangChain hands it on as it is.

    `own` is True for the texts of this module, which the guard need not see. `fault` is as in `Advice`; `abandoned` says
    that the call is still running and will not be waited for.
    """

    outcome: Outcome
    text: str
    own: bool = False
    fault: bool = False
    abandoned: bool = False

    @property
    def ok(self) -> bool:
        return self.outcome in (Outcome.OK, Outcome.ANSWERED)


def told(problem: Problem, *, abandoned: bool = False, **facts: object) -> Reply:
    """Return the text of a problem with its facts filled in. Whoever states a fact keeps it short."""
    advice = ADVICE[problem]
    text = storable(advice.text.format(**facts))
    return Reply(outcome=advice.outcome, text=text, own=True, fault=advice.fault, abandoned=abandoned)
