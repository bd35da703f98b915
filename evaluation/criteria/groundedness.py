"""Does the answer stand on the tool results and documents of its run: 0 (invented) to 10 (all of it does)."""

from evaluation.criteria.judged import JudgedCriterion
from evaluation.criteria.types import GRADE, Rubric

RUBRIC = Rubric(
    name="groundedness",
    version="1",
    scale=GRADE,
    task=(
        "Grade whether what the answer states follows from the tool results shown, and from nothing else: whether it is true "
        "elsewhere does not count. 10: every statement follows from them. 7: all but a minor one. 4: an important statement "
        "does not. 0: most of it does not, or it contradicts them. Greetings, what the question itself said, and saying that "
        "the results do not hold something that they do not hold need no support."
    ),
    question="Is everything the answer says supported by the tool results?",
)


def groundedness() -> JudgedCriterion:
    return JudgedCriterion(rubric=RUBRIC, without="nothing to be grounded in")
