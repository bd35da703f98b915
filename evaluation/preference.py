"""Which of two answers is better, asked twice with their places changed: every judge prefers one of the places."""

from evaluation.criteria.types import Judge, Part, Reading, Rubric, Scale

PREFERENCE = Rubric(
    name="preference",
    version="1",
    scale=Scale(kind="choice", highest=1.0),
    task=(
        "Say which of the two answers does better what the instruction asks for: A or B. What counts is whether it does as it "
        "was asked, and is correct; neither length nor tone, nor how sure of itself it is."
    ),
    question="Which answer follows the instruction better?",
)


async def preference(judge: Judge, instruction: str, first: str, second: str) -> Reading:
    """Return how much the first answer is preferred, from 0 to 1: the mean over both places. Raises as `Judge.judge`."""
    there = await judge.judge(PREFERENCE, _parts(instruction, first, second))
    back = await judge.judge(PREFERENCE, _parts(instruction, second, first))
    if there.value is None or back.value is None:
        return there if there.value is None else back
    mean = (there.value + 1.0 - back.value) / 2
    return Reading(value=mean, reason=f"first {there.value:.2f}, in the other place {1.0 - back.value:.2f}")


def _parts(instruction: str, a: str, b: str) -> tuple[Part, Part, Part]:
    return (
        Part(label="Instruction", text=instruction),
        Part(label="Answer A", text=a),
        Part(label="Answer B", text=b),
    )
