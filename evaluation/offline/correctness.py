"""Does the answer say what a reference says: 0 to 10, for cases of a data set that have one."""

from evaluation.criteria.judged import JudgedCriterion
from evaluation.criteria.types import GRADE, Part, Rubric

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


def correctness(reference: str) -> JudgedCriterion:
    """Return the criterion of one case, whose judge is shown the question, the reference and the answer."""
    shown = [Part(label="Reference answer", text=reference)] if reference else []
    return JudgedCriterion(rubric=RUBRIC, sources=lambda _: shown, without="there is no reference")
