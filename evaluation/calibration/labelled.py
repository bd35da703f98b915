"""Sets that people labelled: JSON lines of one answer with its labels, or of two answers and which is better."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evaluation.criteria.types import CODE, NO_RUN
from evaluation.json_lines import Row, read_lines
from services.samples import Sample

DATASETS = Path(__file__).parents[1] / "datasets"
HANDBOOK = DATASETS / "handbook.jsonl"


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
    """Read answers with labels. Raises as `read_lines`."""
    return read_lines(path, _labelled)


def pairs(path: Path) -> list[Pair]:
    """Read pairs in the form of LLMBar (arXiv:2310.07641): `input`, `output_1`, `output_2`, and `label`, 1 or 2.

    Their ids are their places in the file, from 0. Raises as `read_lines`.
    """
    return [replace(pair, id=str(place)) for place, pair in enumerate(read_lines(path, _pair))]


def as_sample(question: str, answer: str, tool_results: tuple[str, ...] = ()) -> Sample:
    """Return an answer as a judge sees one."""
    return Sample(run_id=NO_RUN, tenant_id="", graph=CODE, question=question, answer=answer, tool_results=tool_results)


def _labelled(row: Row) -> Labelled:
    return Labelled(
        id=row["id"],
        sample=as_sample(row["question"], row["answer"], tuple(row.get("tool_results", ()))),
        labels={name: float(at) for name, at in dict(row["labels"]).items()},
    )


def _pair(row: Row) -> Pair:
    return Pair(
        id="",
        subset=str(row.get("subset", "")),
        instruction=row["input"],
        first=row["output_1"],
        second=row["output_2"],
        first_is_better=int(row["label"]) == 1,
    )
