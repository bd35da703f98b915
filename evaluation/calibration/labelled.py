"""Sets that people labelled: JSON lines of one answer with its labels, or of two answers and which is better."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from evaluation.criteria.types import CODE
from services.samples import Sample

DATASETS = Path(__file__).parents[1] / "datasets"
HANDBOOK = DATASETS / "handbook.jsonl"
NOBODY = UUID(int=0)
"""The run of what was never a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One answer as a run, with the labels that people gave it, by criterion and on its scale."""

    id: str
    sample: Sample
    labels: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to one instruction; `first_is_better` is what people said."""

    id: str
    subset: str
    instruction: str
    first: str
    second: str
    first_is_better: bool


def labelled(path: Path = HANDBOOK) -> list[Labelled]:
    """Read answers with labels. Raises ValueError, with the line, for one that cannot be read."""
    return [
        Labelled(id=row["id"], sample=_sample(row), labels={name: float(at) for name, at in row["labels"].items()})
        for row in _rows(path, "id", "question", "answer", "labels")
    ]


def pairs(path: Path) -> list[Pair]:
    """Read pairs in the form of LLMBar (arXiv:2310.07641): `input`, `output_1`, `output_2`, and `label`, 1 or 2."""
    return [
        Pair(
            id=str(number),
            subset=str(row.get("subset", "")),
            instruction=row["input"],
            first=row["output_1"],
            second=row["output_2"],
            first_is_better=int(row["label"]) == 1,
        )
        for number, row in enumerate(_rows(path, "input", "output_1", "output_2", "label"))
    ]


def as_sample(question: str, answer: str, tool_results: tuple[str, ...] = ()) -> Sample:
    """Return an answer as a judge sees one."""
    return Sample(run_id=NOBODY, tenant_id="", graph=CODE, question=question, answer=answer, tool_results=tool_results)


def _sample(row: Mapping[str, Any]) -> Sample:
    return as_sample(row["question"], row["answer"], tuple(row.get("tool_results", ())))


def _rows(path: Path, *needed: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        row = json.loads(line)
        if missing := [key for key in needed if key not in row]:
            raise ValueError(f"{path}, line {number}: {missing[0]} is missing")
        yield row
