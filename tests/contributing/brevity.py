"""Is the answer short: 10 up to 50 words, falling to 0 at 500. Judged by code, so it needs no model."""

from dataclasses import dataclass

from evaluation.criteria.types import Judge, Reading
from services.samples import Sample

SHORT_WORDS = 50
LONG_WORDS = 500


@dataclass(frozen=True, slots=True)
class Brevity:
    name: str = "brevity"
    rubric_version: str = "1"

    async def read(self, sample: Sample, judge: Judge) -> Reading:
        words = len(sample.answer.split())
        excess = min(max(words - SHORT_WORDS, 0) / (LONG_WORDS - SHORT_WORDS), 1.0)
        return Reading(value=10.0 * (1.0 - excess), reason=f"{words} words")
