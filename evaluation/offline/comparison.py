"""Two configurations on one data set, measure by measure."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.offline.results import Conditions, Measure, Results
from evaluation.offline.statistics import Mean, Paired, holm, mean_of, paired


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One measure of one configuration; `unscored` cases are in no other figure. `mean` is None where nothing was scored."""

    measure: Measure
    mean: Mean | None
    unscored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A measure of the candidate less that of the baseline. `adjusted_p` is for looking at all measures at once.

    `worse` says that it is shown, with 95 %, that the candidate is worse, and `better` that it is better; a measure of which
    neither way is better has neither.
    """

    measure: Measure
    found: Paired
    adjusted_p: float

    @property
    def worse(self) -> bool:
        return self._beyond(-1)

    @property
    def better(self) -> bool:
        return self._beyond(1)

    def _beyond(self, sign: int) -> bool:
        sign *= direction(self.measure)
        return self.found.low > 0 if sign > 0 else self.found.high < 0 if sign < 0 else False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Results, beside those of a baseline where there is one, and what they come to, worked out once for all who show it."""

    results: Results
    baseline: Results | None
    lines: Sequence[Line]
    differences: Sequence[Difference]


def compared(results: Results, baseline: Results | None = None) -> Comparison:
    """Return results with their figures. Raises ValueError where the baseline cannot be compared with."""
    differences = [] if baseline is None else compare(baseline, results)
    return Comparison(results=results, baseline=baseline, lines=lines(results), differences=differences)


def direction(measure: Measure) -> int:
    """Return 1 where more is better, -1 where less is, 0 where neither is."""
    return {"higher": 1, "lower": -1, None: 0}[measure.better]


def lines(results: Results) -> list[Line]:
    """Return every measure of a configuration."""
    return [_line(results, measure) for measure in results.conditions.measures]


def compare(baseline: Results, candidate: Results) -> list[Difference]:
    """Return every measure that both have for some cases. Raises ValueError where they cannot be compared."""
    require_comparable(baseline.conditions, candidate.conditions)
    found = [(measure, _paired(baseline, candidate, measure)) for measure in candidate.conditions.measures]
    known = [(measure, one) for measure, one in found if one is not None]
    adjusted = holm([one.p for _, one in known])
    return [
        Difference(measure=measure, found=one, adjusted_p=p) for (measure, one), p in zip(known, adjusted, strict=True)
    ]


def require_comparable(one: Conditions, other: Conditions) -> None:
    """Raise ValueError unless the same questions were asked and the same judge marked them by the same rubrics."""
    if one.digest != other.digest:
        raise ValueError(
            f"{one.name} and {other.name} answered different data sets, or versions of one ({one.dataset})"
        )
    before = {measure.name: measure for measure in one.measures}
    for measure in other.measures:
        if before.get(measure.name, measure) != measure:
            raise ValueError(f"{measure.name} was marked by another judge, or by another version of the rubric")


def common(baseline: Results, candidate: Results, measure: str) -> tuple[list[float], list[float]]:
    """Return the values of the cases that both have one for, in the same order."""
    before = {case.id: case.value(measure) for case in baseline.cases}
    pairs = [(before.get(case.id), case.value(measure)) for case in candidate.cases]
    known = [(one, other) for one, other in pairs if one is not None and other is not None]
    return [one for one, _ in known], [other for _, other in known]


def text_of(differences: Sequence[Difference]) -> str:
    """Return a comparison as lines for a terminal."""
    rows = [("measure", "cases", "difference", "95 % interval", "p", "p (Holm)", "better/same/worse")]
    for one in differences:
        found, sign = one.found, direction(one.measure) or 1
        ups = (found.up, found.down) if sign > 0 else (found.down, found.up)
        rows.append(
            (
                one.measure.name,
                str(found.n),
                f"{found.difference:+.3f}",
                f"{found.low:+.3f} to {found.high:+.3f}",
                f"{found.p:.4f}",
                f"{one.adjusted_p:.4f}",
                f"{ups[0]}/{found.same}/{ups[1]}"
                if direction(one.measure)
                else f"+{found.up}/{found.same}/-{found.down}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def summary_of(found: Sequence[Line]) -> str:
    """Return one configuration's means as lines for a terminal."""
    width = max(len(line.measure.name) for line in found)
    shown = []
    for line in found:
        mean = line.mean
        figures = "unscored" if mean is None else f"{mean.mean:8.3f}  {mean.low:.3f} to {mean.high:.3f}  n={mean.n}"
        shown.append(
            f"{line.measure.name.ljust(width)}  {figures}" + (f"  unscored={line.unscored}" if line.unscored else "")
        )
    return "\n".join(shown)


def _line(results: Results, measure: Measure) -> Line:
    values = results.values(measure.name)
    return Line(
        measure=measure,
        mean=mean_of(values, yes_no=_is_binary(measure, values)),
        unscored=len(results.cases) - len(values),
    )


def _paired(baseline: Results, candidate: Results, measure: Measure) -> Paired | None:
    first, second = common(baseline, candidate, measure.name)
    return paired(first, second, yes_no=_is_binary(measure, [*first, *second]))


def _is_binary(measure: Measure, values: Sequence[float]) -> bool:
    """Whether values are counted rather than averaged: a judge that is asked for one word says yes with a probability, and
    a share that is always 0 or 1 is as good as a yes or no.
    """
    return measure.highest == 1 and set(values) <= {0.0, 1.0}
