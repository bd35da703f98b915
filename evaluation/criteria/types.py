"""What a criterion is: a question about one finished run, answered by a judge or by code."""

from dataclasses import dataclass
from typing import Protocol

from services.samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a criterion makes of a run. `value` None is unscored, for the reason given."""

    value: float | None
    reason: str


class Judge(Protocol):
    """A model that answers one short question. Raises a MainstayError when it cannot."""

    @property
    def model(self) -> str: ...

    async def ask(self, instruction: str, material: str) -> str: ...


class Criterion(Protocol):
    """One question. `rubric_version` changes whenever the wording that a judge sees does."""

    @property
    def name(self) -> str: ...

    @property
    def rubric_version(self) -> str: ...

    async def read(self, sample: Sample, judge: Judge) -> Reading: ...
