"""What an evaluation found: a file of JSON lines, its conditions first and then every case as it ended.

It is the journal of the run as well as its result. A case is one line, written when the case is done, so an evaluation that
was stopped, or whose machine was, goes on behind the last line that is whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from evaluation.criteria.types import Reading
from evaluation.json_lines import Row, append, read_journal

FILE = "results.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What every case was measured by. `judge` and `version` are those of its scores, `better` is None where neither way is."""

    name: str
    judge: str
    version: str
    kind: Literal["grade", "yes_no", "choice", "measure"]
    highest: float | None = None
    unit: str = ""
    better: Literal["higher", "lower"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """`name` is what people call the configuration, `target` what answered. `cases` is how many the data set has.

    `begun` is a time in UTC, ISO 8601.
    """

    name: str
    target: str
    dataset: str
    digest: str
    cases: int
    measures: tuple[Measure, ...]
    begun: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case as it ended. `readings` has every measure; one that is not scored says why."""

    id: str
    question: str
    reference: str
    tags: tuple[str, ...]
    answer: str
    tools: tuple[str, ...]
    failure: str
    readings: Mapping[str, Reading]

    def value(self, measure: str) -> float | None:
        reading = self.readings.get(measure)
        return None if reading is None else reading.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    conditions: Conditions
    cases: tuple[CaseResult, ...]

    @property
    def complete(self) -> bool:
        return len(self.cases) == self.conditions.cases

    def values(self, measure: str) -> list[float]:
        """Return what was scored, in the order of the cases."""
        return [value for case in self.cases if (value := case.value(measure)) is not None]


class Journal:
    """The results of one folder, as they come in.

    A folder that holds other results is never written over: `going_on` says that they are meant, and then they have to be of
    the same conditions. Raises ValueError where they are not, and OSError.
    """

    def __init__(self, folder: Path, conditions: Conditions, *, going_on: bool = False) -> None:
        self._path = folder / FILE
        self._done: dict[str, CaseResult] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            self.conditions = conditions
            append(self._path, {"conditions": asdict(conditions)})
            return
        if not going_on:
            raise ValueError(f"{folder} holds results already: go on with --resume, or name another folder with --out")
        known = read_results(folder)
        _require_same(known.conditions, conditions, folder)
        self.conditions = known.conditions
        self._done = {case.id: case for case in known.cases}

    @property
    def results(self) -> Results:
        return Results(conditions=self.conditions, cases=tuple(self._done.values()))

    def has(self, case_id: str) -> bool:
        return case_id in self._done

    def add(self, result: CaseResult) -> None:
        """Keep a case that is done."""
        append(self._path, {"case": asdict(result)})
        self._done[result.id] = result


def read_results(folder: Path) -> Results:
    """Read the results of a folder. Raises ValueError, with the line, for what is none, and OSError."""
    path = folder / FILE
    rows = read_journal(path, _row)
    conditions = [row for row in rows if isinstance(row, Conditions)]
    if len(conditions) != 1:
        raise ValueError(f"{path}: these are no results of an evaluation")
    cases = {row.id: row for row in rows if isinstance(row, CaseResult)}
    return Results(conditions=conditions[0], cases=tuple(cases.values()))


def _require_same(known: Conditions, asked: Conditions, folder: Path) -> None:
    for what in ("target", "dataset", "digest", "measures", "name"):
        before, now = getattr(known, what), getattr(asked, what)
        if before != now:
            raise ValueError(f"{folder} has results of another {what}: begin a new folder with --out")


def _row(row: Row) -> Conditions | CaseResult:
    return _case(row["case"]) if "case" in row else _conditions(row["conditions"])


def _conditions(row: Row) -> Conditions:
    measures: Sequence[Row] = row["measures"]
    return Conditions(**{**row, "measures": tuple(Measure(**one) for one in measures)})


def _case(row: Row) -> CaseResult:
    readings = {name: Reading(**one) for name, one in row["readings"].items()}
    return CaseResult(**{**row, "tags": tuple(row["tags"]), "tools": tuple(row["tools"]), "readings": readings})
