"""Does the answer say what a reference says: 0 to 10, for cases of a data set that have one."""

from dataclasses import dataclass

from evaluation.criteria.types import GRADE, Context, Part, Reading, Rubric, Scale

RUBRIC = Rubric(
    name="correctness",
    version="1",
    scale=GRADE,
    task=(
        "Grade whether the answer says what the reference answer says, which is known to be right. 10: everything that the "
        "reference states is in the answer, and nothing contradicts it. 7: the main point is there, a detail is missing or "
        "wrong. 4: the main point is there in part. 0: the main point is missing or contradicted. Other words, a longer answer "
        "and further true statements do not count against it."
    ),
    question="Does the answer say the same as the reference answer?",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correctness:
    """Implements `Criterion` for one case."""

    reference: str
    needs_judge: bool = True

    @property
    def name(self) -> str:
        return RUBRIC.name

    @property
    def rubric_version(self) -> str:
        return RUBRIC.version

    @property
    def scale(self) -> Scale:
        return RUBRIC.scale

    async def read(self, context: Context) -> Reading:
        """Ask the judge, who is shown the question, the reference and the answer."""
        sample = context.sample
        if not self.reference:
            return Reading(value=None, reason="there is no reference")
        if not sample.answer.strip():
            return Reading(value=None, reason="nothing was answered")
        parts = (
            Part(label="Question", text=sample.question),
            Part(label="Reference answer", text=self.reference),
            Part(label="Answer", text=sample.answer),
        )
        return await context.judge.judge(RUBRIC, parts)
