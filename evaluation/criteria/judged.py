"""A criterion that a judge answers: its rubric, and which parts of a run the judge is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evaluation.criteria.types import Context, Part, Reading, Rubric, Scale
from services.samples import Sample


def tool_results(sample: Sample) -> Sequence[Part]:
    """Return what tools gave in a run."""
    return [Part(label="Tool result", text=text) for text in sample.tool_results if text.strip()]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCriterion:
    """Asks `rubric` of the answer. `sources` are what the judge is to compare it with; a run that has none is unscored for the
    reason of `without`, or is judged all the same where that is empty.
    """

    rubric: Rubric
    sources: Callable[[Sample], Sequence[Part]] = tool_results
    without: str = ""
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
        """Ask the judge, unless there is nothing to be judged. The answer comes last."""
        sample = context.sample
        if not sample.answer.strip():
            return Reading(value=None, reason="nothing was answered", applies=False)
        sources = self.sources(sample)
        if not sources and self.without:
            return Reading(value=None, reason=self.without, applies=False)
        question, answer = Part(label="Question", text=sample.question), Part(label="Answer", text=sample.answer)
        return await context.judge.judge(self.rubric, (question, *sources, answer))
