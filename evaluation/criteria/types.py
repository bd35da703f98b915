"""What a criterion is: one question about one ended run, answered by a judge or by code."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from services.samples import Sample

CODE = "code"
"""Who judged, where nobody was asked."""

NO_RUN = UUID(int=0)
"""The run of a sample that comes of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Which values there are: a judge's `grade`, `yes_no` (1.0 is yes) or `choice` of A (1.0) or B; code's `measure` in its
    `unit`.

    `highest` is None where there is no bound. `better` says which way is up, and is None where neither is.
    """

    kind: Literal["grade", "yes_no", "choice", "measure"]
    lowest: float = 0.0
    highest: float | None = None
    unit: str = ""
    better: Literal["higher", "lower"] | None = None


GRADE = Scale(kind="grade", highest=10.0, unit="points", better="higher")
CONCERN = Scale(kind="yes_no", highest=1.0, better="lower")
"""Yes is bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubric:
    """What a judge is asked. `version` changes whenever a word that a judge sees does.

    `task` says what is judged and what the values mean. `question` is the same as one question, to which a plain yes (A, where
    it is a choice) stands for the scale's highest value: for judges who can say no more than one word.
    """

    name: str
    version: str
    scale: Scale
    task: str
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of what is judged, and what it is: Question, Tool result, Answer. Its text is somebody else's, and hostile."""

    label: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a criterion makes of a run. `value` None is unscored, for the reason given: with `applies` False the run had nothing
    to be judged, else whoever was asked gave no value.
    """

    value: float | None
    reason: str
    applies: bool = True


class Judge(Protocol):
    """A model, and a way to ask it. `name` is both: the scores of two names cannot be compared."""

    @property
    def name(self) -> str: ...

    async def judge(self, rubric: Rubric, parts: Sequence[Part]) -> Reading:
        """Judge what stands in `parts`, of which the last one counts most. Raises a MainstayError when nobody can.

        A reply that is no verdict is unscored.
        """
        ...


class Criterion(Protocol):
    """One question. `rubric_version` changes whenever the same run could get another value by it.

    `needs_judge` is False for what code answers: it costs nothing, and the judge of its context is not to be asked.
    """

    @property
    def name(self) -> str: ...

    @property
    def rubric_version(self) -> str: ...

    @property
    def scale(self) -> Scale: ...

    @property
    def needs_judge(self) -> bool: ...

    async def read(self, context: "Context") -> Reading: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All that a criterion is given. `begging` names what in the run's texts speaks to a judge, empty where nothing does.

    `traceparent` is that of the run's last attempt, None where there is no trace to add to.
    """

    sample: Sample
    judge: Judge
    begging: Sequence[str] = ()
    traceparent: str | None = None

    def flags(self, criterion: Criterion) -> bool:
        """Whether what a criterion says of it is not to be relied on: its judge was spoken to."""
        return criterion.needs_judge and bool(self.begging)
