"""What a judge is given, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from services.types import Message, RunStatus

JUDGED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED})
"""How a run has ended that can be judged. One that was cancelled, or that waits for a person, has no end of its own."""

MAX_TEXT_CHARS = 131_072
"""Of a question, of an answer, and of all tool results together: a queue of samples is bounded in bytes too."""


class Stratum(StrEnum):
    """What kind of run it is, for the rate at which its kind is taken. A run is of the first of these that it fits."""

    DISLIKED = "disliked"
    FLAGGED = "flagged"
    FAILED = "failed"
    LONG = "long"
    ORDINARY = "ordinary"


class Drop(StrEnum):
    """Why a sample was not judged."""

    SHED = "shed"
    """The agent replica had more to do than it could."""
    SENDING = "sending"
    """As many as may be were on their way to the evaluator."""
    UNREACHABLE = "unreachable"
    """The evaluator was not there, refused it, or took too long."""
    QUEUE = "queue"
    """The evaluator's queue was full."""
    STORE = "store"
    """Its scores could not be stored."""
    STOPPED = "stopped"
    """The evaluator's replica was stopped while it waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A tool that was called in a run, and whether it gave a result; None: that is not on record any more."""

    name: str
    succeeded: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One ended run as a judge sees it, with what made it.

    `weight` is 1 / the probability with which a run of its `stratum` was taken. `base` says that it would also have been taken
    at the rate that holds for every run: of these alone an unweighted mean is fair. `prompt_version` names the prompts that
    were in force when it began; provider and model are None where no model answered. `first_text_s` is None where nothing was
    said, and where it is not on record.
    """

    run_id: UUID
    tenant_id: str
    graph: str
    question: str
    answer: str
    tool_results: tuple[str, ...] = ()
    tool_uses: tuple[ToolUse, ...] = ()
    status: RunStatus = RunStatus.COMPLETED
    provider: str | None = None
    model: str | None = None
    prompt_version: str = ""
    duration_s: float = 0.0
    first_text_s: float | None = None
    output_tokens: int = 0
    stratum: Stratum = Stratum.ORDINARY
    base: bool = True
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disliked:
    """A run that its user disliked."""

    run_id: UUID
    tenant_id: str
    graph: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A criterion's value for one run. `value` None is *unscored*, for the reason given: never to be read as 0.

    `flagged`: a text of the run spoke to the judge, so that what it says is not to be relied on, and is in no mean and no
    series. `applies` is False where there was nothing to be judged, which is no failure of the judge; it is counted, not kept.
    What else follows `weight` is the sample's: it makes the score a point of a series without another look at the run.
    """

    run_id: UUID
    tenant_id: str
    criterion: str
    value: float | None
    reason: str
    judge_model: str
    rubric_version: str
    weight: float = 1.0
    graph: str
    provider: str | None = None
    model: str | None = None
    prompt_version: str = ""
    stratum: Stratum = Stratum.ORDINARY
    base: bool = True
    flagged: bool = False
    applies: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MeansWanted:
    """Of the runs that ended from the day `first` to the day `last` (UTC, both included); None is any graph or criterion.

    `by_day` asks for a mean of each day, instead of one of all of them.
    """

    first: date
    last: date
    graph: str | None = None
    criterion: str | None = None
    by_day: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreMean:
    """What a criterion comes to over runs of a graph, as one judge sees it by one rubric; `day` is None for several days.

    `mean` is weighted, so it is that of all runs, of which there were about `runs`; None where nothing was scored. It stands on
    `n` scores, beside `unscored` ones and those that are left out because they are `flagged`, and is within twice its
    `standard_error`, which one score alone does not give, nineteen times of twenty.
    """

    graph: str
    criterion: str
    judge_model: str
    rubric_version: str
    day: date | None
    n: int
    unscored: int
    flagged: int
    runs: float | None
    mean: float | None
    standard_error: float | None


class SampleSink(Protocol):
    """Where finished runs are offered for judging. Never waits and never raises: a full sink drops and counts."""

    def offer(self, sample: Sample) -> None: ...


def last_words(messages: Sequence[Message], role: str) -> str:
    """Return the last thing that a role said, as far as a judge is shown it; empty where it said nothing."""
    said = (message.content for message in reversed(messages) if message.role == role and message.content)
    return next(said, "")[:MAX_TEXT_CHARS]


def tool_results(messages: Sequence[Message]) -> tuple[str, ...]:
    """Return what tools gave, as far as a judge is shown it: of too much the last."""
    kept, room = [], MAX_TEXT_CHARS
    for message in reversed(messages):
        if message.role == "tool" and room > 0:
            kept.append(message.content[:room])
            room -= len(message.content)
    return tuple(reversed(kept))
