"""Stand-ins for a judge, at two edges: one that gives a verdict, and the model behind a real judge."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage

from evaluation.criteria.types import Part, Reading, Rubric
from services.samples import Sample, Score, Stratum


def a_sample(answer: str = "42", **changes: Any) -> Sample:
    made = {"graph": "react", "provider": "openai", "model": "small", "prompt_version": "p1"}
    taken = {"stratum": Stratum.LONG, "base": False, "weight": 20.0}
    given = {"question": "6 * 7?", "tenant_id": "acme", **made, **taken, **changes}
    return Sample(run_id=uuid4(), answer=answer, **given)


@dataclass
class FakeJudge:
    """Implements `Judge`: gives the same value every time, or raises."""

    value: float | Exception | None = 8.0
    name: str = "judge-1/fake"
    asked: list[tuple[Rubric, Sequence[Part]]] = field(default_factory=list)
    held: asyncio.Event | None = None

    async def judge(self, rubric: Rubric, parts: Sequence[Part]) -> Reading:
        self.asked.append((rubric, parts))
        if self.held is not None:
            await self.held.wait()
        if isinstance(self.value, Exception):
            raise self.value
        return Reading(value=self.value, reason="said so")


@dataclass
class FakeScores:
    kept: list[Score] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    async def add(self, scores: Sequence[Score]) -> None:
        if self.failures:
            raise self.failures.pop()
        self.kept.extend(scores)


@dataclass
class FakeModel:
    """Implements `evaluation.structured.Answering`: `say` makes its reply of the instruction and the material."""

    replies: list[AIMessage] = field(default_factory=list)
    model: str = "tiny"
    read: list[tuple[str, str]] = field(default_factory=list)
    formats: list[Mapping[str, Any] | None] = field(default_factory=list)

    async def answer(
        self, instruction: str, material: str, *, max_tokens: int, response_format: Mapping[str, Any] | None = None
    ) -> AIMessage:
        self.read.append((instruction, material))
        self.formats.append(response_format)
        return self.replies.pop(0)
