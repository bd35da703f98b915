"""Is the answer short: 10 up to 50 words, falling to 0 at 500. Judged by code, so it needs no model."""

from dataclasses import dataclass

from evaluation.criteria.types import GRADE, Context, Reading, Scale

SHORT_WORDS = 50
LONG_WORDS = 500


@dataclass(frozen=True, slots=True)
class Brevity:
    name: str = "brevity"
    rubric_version: str = "1"
    scale: Scale = GRADE
    needs_judge: bool = False

    async def read(self, context: Context) -> Reading:
        words = len(context.sample.answer.split())
        excess = min(max(words - SHORT_WORDS, 0) / (LONG_WORDS - SHORT_WORDS), 1.0)
        return Reading(value=10.0 * (1.0 - excess), reason=f"{words} words")
