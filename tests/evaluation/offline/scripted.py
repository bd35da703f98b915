"""An agent that answers by the book, results that are made up, and `make eval` with that agent in the model's place."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from evaluation.criteria.types import Reading
from evaluation.offline.command import NoJudge, against_of, plan_of, run_arguments
from evaluation.offline.dataset import Case, Dataset
from evaluation.offline.evaluating import conclude, evaluate
from evaluation.offline.results import CaseResult, Conditions, Results
from evaluation.offline.runner import Marking
from evaluation.offline.target import Answered
from services.samples import Sample, ToolUse
from services.types import Message


def a_case(case_id: str = "one", **changes: object) -> Case:
    given = {"messages": (Message(role="user", content=f"{case_id}?"),), **changes}
    return Case(id=case_id, **given)  # type: ignore[arg-type]


def a_dataset(*cases: Case, digest: str = "d1") -> Dataset:
    return Dataset(name="set", digest=digest, cases=cases)


def an_answer(case: Case, answer: str, **changes: object) -> Answered:
    given = {
        "run_id": uuid4(),
        "tenant_id": "",
        "graph": "react",
        "question": case.question,
        "duration_s": 1.0,
        **changes,
    }
    return Answered(sample=Sample(answer=answer, **given))  # type: ignore[arg-type]


@dataclass
class ScriptedTarget:
    """Implements `Target`. `say` answers a case, or raises; `asked` has the cases in the order in which they came."""

    say: Callable[[Case], Answered]
    name: str = "scripted"
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def answer(self, case: Case) -> Answered:
        self.asked.append(case.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            return self.say(case)
        finally:
            self.at_once -= 1


def by_the_book(case: Case) -> Answered:
    """The reference, word for word, after the tools that are expected."""
    uses = tuple(ToolUse(name=name, succeeded=True) for name in case.expect.get("tools", ()))
    return an_answer(case, case.reference, tool_uses=uses)


def results_of(marking: Marking, cases: list[CaseResult], name: str = "new", digest: str = "d1") -> Results:
    """Results as if these cases had been the whole data set."""
    conditions = Conditions(
        name=name,
        target="scripted",
        dataset="set",
        digest=digest,
        cases=len(cases),
        measures=marking.measures,
        begun="2026-01-01T00:00:00+00:00",
    )
    return Results(conditions=conditions, cases=tuple(cases))


def a_result(case_id: str, answer: str = "so", **values: float | None) -> CaseResult:
    readings = {name: Reading(value=value, reason="said so") for name, value in values.items()}
    return CaseResult(
        id=case_id, question="?", reference="", tags=(), answer=answer, tools=(), failure="", readings=readings
    )


def main() -> int:
    """`python -m tests.evaluation.offline.scripted`: answers by the book, if the settings' prompt tells it to use its tools."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", type=Path)
    parser.add_argument("--out", type=Path)
    run_arguments(parser, concurrency=2)
    asked = parser.parse_args()
    good = "tool" in asked.settings.read_text()
    target = ScriptedTarget(by_the_book if good else lambda case: an_answer(case, "I am sure it is 42."))
    marking = Marking(criteria=("length",), judge=NoJudge())
    against = against_of(asked)
    asyncio.run(evaluate(plan_of(asked, against, out=asked.out), target, marking))
    return conclude(asked.out, against, say=print)


if __name__ == "__main__":
    sys.exit(main())
