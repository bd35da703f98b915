"""What is evaluated: whoever answers a case."""

from dataclasses import dataclass
from typing import Protocol

from evaluation.criteria.types import CODE, NO_RUN
from evaluation.offline.dataset import Case
from services.samples import Sample
from services.types import RunStatus


class TargetUnusable(Exception):
    """The target answers nobody, or not us: no case can be asked, and none of them has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How a case ended: what a judge would see of it, and the code of the failure, empty where it came to its end."""

    sample: Sample
    failure: str = ""


class Target(Protocol):
    """An agent that can be asked. `name` says which one, and with what; two names are two configurations."""

    @property
    def name(self) -> str: ...

    async def answer(self, case: Case) -> Answered:
        """Return how the case ended, well or not. Raises TargetUnusable where there is no use in asking anything else."""
        ...


def no_sample(case: Case) -> Sample:
    """Return what is left of a case that came to nothing."""
    return Sample(run_id=NO_RUN, tenant_id="", graph=CODE, question=case.question, answer="", status=RunStatus.FAILED)
