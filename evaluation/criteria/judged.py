"""A criterion that a judge answers: its rubric, and which parts of a run the judge is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.criteria.types import Context, Part, Reading, Rubric, Scale
from services.samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCriterion:
    """Asks `rubric` of the answer. `needs_sources` leaves a run unscored that has no tool result to compare it with."""

    rubric: Rubric
    needs_sources: bool = False
    needs_judge: bool = True

    @property
    def name(self) -> str:
        return self.rubric.name

    @property
    def rubric_version(self) -> str:
        return self.rubric.version

    @property
    def scale(self) -> Scale:
        return self.rubric.scale

    async def read(self, context: Context) -> Reading:
        """Ask the judge, unless there is nothing to be judged."""
        sample = context.sample
        if not sample.answer.strip():
            return Reading(value=None, reason="nothing was answered")
        if self.needs_sources and not any(map(str.strip, sample.tool_results)):
            return Reading(value=None, reason="nothing to be grounded in")
        return await context.judge.judge(self.rubric, shown(sample))


def shown(sample: Sample) -> Sequence[Part]:
    """Return what a judge is shown of a run; the answer, which is judged, comes last."""
    return (
        Part(label="Question", text=sample.question),
        *(Part(label="Tool result", text=text) for text in sample.tool_results if text.strip()),
        Part(label="Answer", text=sample.answer),
    )
