"""Did the answer help: 0 (useless) to 10 (complete and to the point)."""

from evaluation.criteria.judged import JudgedCriterion
from evaluation.criteria.types import GRADE, Rubric

RUBRIC = Rubric(
    name="helpfulness",
    version="2",
    scale=GRADE,
    task=(
        "Grade how well the answer helps whoever asked the question. 10: it gives all that was asked for, clearly and without "
        "padding. 7: useful, with something missing or superfluous. 4: of some use. 0: of no use: beside the question, empty, "
        "or a refusal of what could have been answered. An honest 'that is not known' is a good answer where nothing shown "
        "holds what was asked for."
    ),
    question="Does the answer give the user what was asked for?",
)


def helpfulness() -> JudgedCriterion:
    return JudgedCriterion(rubric=RUBRIC)
