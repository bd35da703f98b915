"""What an evaluation found: a file of JSON lines, its conditions first and then every case as it ended.

It is the journal of the run as well as its result. A case is one line, written when the case is done, so an evaluation that
was stopped, or whose machine was, goes on behind the last line that is whole.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from evaluation.criteria.types import Reading

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
            self._append({"conditions": asdict(conditions)})
            return
        if not going_on:
            raise ValueError(f"{folder} holds results already: go on with --resume, or name another folder with --out")
        _cut_torn_line(self._path)
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
        self._append({"case": asdict(result)})
        self._done[result.id] = result

    def _append(self, row: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_results(folder: Path) -> Results:
    """Read the results of a folder. Raises ValueError, with the line, for what is none, and OSError."""
    path = folder / FILE
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        try:
            rows += [json.loads(line)] if line else []
        except ValueError:
            raise ValueError(f"{path}, line {number}: this is no result; --resume goes on before it") from None
    try:
        conditions = _conditions(rows[0]["conditions"])
        cases = {row["case"]["id"]: _case(row["case"]) for row in rows[1:]}
    except (LookupError, TypeError) as error:
        raise ValueError(f"{path}: these are no results of an evaluation ({error!r})") from None
    return Results(conditions=conditions, cases=tuple(cases.values()))


def _cut_torn_line(path: Path) -> None:
    """Drop what was being written when the evaluation was stopped."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)


def _require_same(known: Conditions, asked: Conditions, folder: Path) -> None:
    for what in ("target", "dataset", "digest", "measures", "name"):
        before, now = getattr(known, what), getattr(asked, what)
        if before != now:
            raise ValueError(f"{folder} has results of another {what}: begin a new folder with --out")


def _conditions(row: Mapping[str, Any]) -> Conditions:
    measures: Sequence[Mapping[str, Any]] = row["measures"]
    return Conditions(**{**row, "measures": tuple(Measure(**one) for one in measures)})


def _case(row: Mapping[str, Any]) -> CaseResult:
    readings = {name: Reading(**one) for name, one in row["readings"].items()}
    return CaseResult(**{**row, "tags": tuple(row["tags"]), "tools": tuple(row["tools"]), "readings": readings})
