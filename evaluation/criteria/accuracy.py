"""Is what the answer says true: 0 (wrong) to 10 (every statement is right)."""

from evaluation.criteria.judged import JudgedCriterion
from evaluation.criteria.types import GRADE, Rubric

RUBRIC = Rubric(
    name="accuracy",
    version="1",
    scale=GRADE,
    task=(
        "Grade whether what the answer states is correct, by the tool results where there are any, and by what is generally "
        "known. 10: every statement is correct. 7: the main point is correct, a detail is not. 4: the main point is partly "
        "wrong. 0: the main point is wrong. Only what is stated counts: neither style nor what is left out. An answer that "
        "states nothing false, such as one that says it does not know, gets 10."
    ),
    question="Is what the answer says correct?",
)


def accuracy() -> JudgedCriterion:
    return JudgedCriterion(rubric=RUBRIC)
