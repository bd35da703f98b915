"""What is published of a judge: how far it agreed with people on one criterion, and on what. Read by whoever shows scores."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.calibration.agreement import agreement, confusion
from evaluation.criteria.types import Scale

BANDS = ("0 to 3", "4 to 6", "7 to 10")
"""How grades are shown in a confusion; kappa is of the grades themselves."""

PUBLISHED = Path(__file__).parents[1] / "datasets" / "calibrations.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """`confusion` has a row for each of `labels` as people gave it, a column as the judge did. `unscored` items are in no other
    figure. `kappa` is weighted by squared distance where the labels are grades; `low` and `high` are its 95 % interval.
    `ranking` is the share of pairs that the judge orders as people do, None where all labels are the same. `measured_on` is
    a date; an empty `criterion`, judge or version is not possible.
    """

    criterion: str
    judge_model: str
    rubric_version: str
    labelled_set: str
    n: int
    unscored: int
    share: float
    kappa: float
    low: float
    high: float
    ranking: float | None
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    measured_on: str


class KnownCalibrations:
    """Where calibrations are looked up: of several for one criterion, judge and rubric that of the most items counts."""

    def __init__(self, records: Iterable[Calibration] = ()) -> None:
        by_size = sorted(records, key=lambda one: one.n)
        self._known = {(one.criterion, one.judge_model, one.rubric_version): one for one in by_size}

    def of(self, criterion: str, judge_model: str, rubric_version: str) -> Calibration | None:
        """Return what is known of a judge, None where it is not calibrated: its scores are to be shown as such."""
        return self._known.get((criterion, judge_model, rubric_version))


def calibrated(
    judged: Sequence[float | None],
    labels: Sequence[float],
    scale: Scale,
    *,
    criterion: str,
    judge_model: str,
    rubric_version: str,
    labelled_set: str,
    measured_on: str,
    thumbs: bool = False,
) -> Calibration | None:
    """Compare a judge's values with people's labels, item by item; None where no item was scored.

    Labels are on the criterion's own `scale`. With `thumbs` they are 1 (up) or 0, whatever the scale, for people who were not
    asked for a grade: a value counts as up from the middle of the scale on, towards the end that is better.
    """
    pairs = [(value, label) for value, label in zip(judged, labels, strict=True) if value is not None]
    if not pairs:
        return None
    values, known = [value for value, _ in pairs], [label for _, label in pairs]
    highest = scale.highest or 1.0
    if thumbs and scale.better == "lower":
        values = [scale.lowest + highest - value for value in values]
    graded = scale.kind == "grade" and not thumbs
    if graded:
        names: tuple[str, ...] = BANDS
        columns, rows = [round(value) for value in values], [round(label) for label in known]
        found = agreement(values, known, judged=columns, labelled=rows, categories=11, weighted=True)
        columns, rows = [_band(grade) for grade in columns], [_band(grade) for grade in rows]
    else:
        names = ("down", "up") if thumbs else ("no", "yes") if scale.kind == "yes_no" else ("B", "A")
        middle = (scale.lowest + highest) / 2
        columns, rows = [int(value >= middle) for value in values], [int(label >= 0.5) for label in known]
        found = agreement(values, known, judged=columns, labelled=rows, categories=2)
    counts = confusion(columns, rows, len(names))
    return Calibration(
        criterion=criterion,
        judge_model=judge_model,
        rubric_version=rubric_version,
        labelled_set=labelled_set,
        n=found.n,
        unscored=len(judged) - found.n,
        share=round(float(counts.trace() / counts.sum()), 4),
        kappa=round(found.kappa, 4),
        low=round(found.low, 4),
        high=round(found.high, 4),
        ranking=None if found.ranking is None else round(found.ranking, 4),
        labels=names,
        confusion=tuple(tuple(int(count) for count in row) for row in counts),
        measured_on=measured_on,
    )


def known_calibrations(further: Path | None = None) -> KnownCalibrations:
    """Return the calibrations that are shipped, and those of a `further` file. Raises as `read_calibrations`."""
    return KnownCalibrations([*read_calibrations(PUBLISHED), *(read_calibrations(further) if further else ())])


def read_calibrations(path: Path) -> list[Calibration]:
    """Return the records of a file that `write_calibrations` wrote. Raises ValueError for another one, and OSError."""
    try:
        return [_record(one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{path}: these are no calibrations ({error!r})") from None


def write_calibrations(records: Iterable[Calibration], path: Path) -> None:
    """Write records, in the place of those in the file of the same criterion, judge, rubric and labelled set."""
    kept = {_key(one): one for one in (*(read_calibrations(path) if path.exists() else ()), *records)}
    lines = ",\n".join("  " + json.dumps(asdict(kept[key]), ensure_ascii=False) for key in sorted(kept))
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    draft.replace(path)


def _key(one: Calibration) -> tuple[str, str, str, str]:
    return one.criterion, one.judge_model, one.rubric_version, one.labelled_set


def _record(fields: Mapping[str, Any]) -> Calibration:
    return Calibration(
        **{**fields, "labels": tuple(fields["labels"]), "confusion": tuple(map(tuple, fields["confusion"]))}
    )


def _band(grade: int) -> int:
    return 0 if grade <= 3 else 1 if grade <= 6 else 2
