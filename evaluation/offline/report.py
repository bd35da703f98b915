"""An evaluation as one HTML file that needs nothing else: figures with their intervals, plots, and the cases to read first."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from xml.etree.ElementTree import Element

from evaluation.calibration.record import KnownCalibrations
from evaluation.criteria.types import CODE
from evaluation.offline import charts, reading
from evaluation.offline.comparison import Comparison, Difference, Line, common, direction
from evaluation.offline.gate import Finding
from evaluation.offline.markup import Node, document, node, table
from evaluation.offline.results import CaseResult, Measure, Results

STYLE = Path(__file__).with_name("report.css")


def report(found: Comparison, *, findings: Sequence[Finding] = (), calibrations: KnownCalibrations) -> str:
    """Return the page."""
    results, baseline = found.results, found.baseline
    name = results.conditions.name
    return document(
        f"Evaluation: {name}",
        STYLE.read_text(encoding="utf-8"),
        node("h1", node("bdi", name), _against(baseline)),
        _conditions(results, baseline),
        _gate(findings),
        node("h2", "Measures"),
        _measures(found.lines, calibrations),
        _differences(found.differences),
        node("h2", "Distributions"),
        _distributions(results, baseline),
        *_moves(found),
        *_by_tag(results),
        *reading.sections(results, baseline),
        node(
            "footer",
            "Answers, questions and reasons are shown as they were, and none of them is to be believed for that.",
        ),
    )


def _against(baseline: Results | None) -> Node:
    return None if baseline is None else node("small", " against ", node("bdi", baseline.conditions.name))


def _conditions(results: Results, baseline: Results | None) -> Element:
    conditions = results.conditions
    failed = sum(bool(case.failure) for case in results.cases)
    cases = f", {len(results.cases)} of {conditions.cases} cases"
    facts: list[tuple[str, Node]] = [
        ("Target", conditions.target),
        ("Baseline", baseline.conditions.target if baseline else None),
        ("Data set", node("span", node("bdi", conditions.dataset), cases)),
        ("Failed", str(failed)),
        ("Begun", conditions.begun[:16].replace("T", " ") + " UTC"),
    ]
    shown = (node("div", node("dt", what), node("dd", said)) for what, said in facts if said is not None)
    return node("dl", *shown, class_="facts")


def _gate(findings: Sequence[Finding]) -> Node:
    if not findings:
        return None
    holds = all(one.holds for one in findings)
    marks = [node("li", "✓ " if one.holds else "✗ ", one.said, class_="" if one.holds else "no") for one in findings]
    title = node("strong", "The gate holds." if holds else "The gate does not hold.")
    return node("section", title, node("ul", *marks), class_="gate holds" if holds else "gate")


def _measures(found: Sequence[Line], calibrations: KnownCalibrations) -> Element:
    rows: list[tuple[Node, ...]] = []
    for line in found:
        measure, mean = line.measure, line.mean
        if mean is None:
            rows.append((_titled(measure), "", "unscored", "", str(line.unscored or ""), _judge(measure, calibrations)))
            continue
        highest = measure.highest if measure.highest is not None else mean.high * 1.25
        plot = charts.interval(mean.low, mean.mean, mean.high, lowest=0.0, highest=highest or 1.0)
        shown = node("b", figure(measure, mean.mean))
        within = _range(measure, mean.low, mean.high)
        cases = f"{mean.n}" + (f" ({line.unscored} unscored)" if line.unscored else "")
        rows.append((_titled(measure), shown, within, plot, cases, _judge(measure, calibrations)))
    return table(("", "mean", "95 % interval", "", "cases", "by"), rows)


def _differences(differences: Sequence[Difference]) -> Node:
    if not differences:
        return None
    rows: list[tuple[Node, ...]] = []
    for one in differences:
        found, measure = one.found, one.measure
        reach = max(abs(found.low), abs(found.high)) or 1.0
        plot = charts.interval(found.low, found.difference, found.high, lowest=-reach, highest=reach, zero=True)
        verdict = (
            node("b", "worse", class_="no") if one.worse else node("b", "better", class_="yes") if one.better else None
        )
        within = _range(measure, found.low, found.high, signed=True)
        moved = f"{found.up} up, {found.same} same, {found.down} down"
        difference = node("b", figure(measure, found.difference, signed=True))
        rows.append(
            (_titled(measure), difference, within, plot, moved, f"{found.p:.4f}", f"{one.adjusted_p:.4f}", verdict)
        )
    heads = ("", "difference", "95 % interval", "", "cases", "p", "p (Holm)", "")
    return node("section", node("h2", "Against the baseline, case by case"), table(heads, rows))


def _distributions(results: Results, baseline: Results | None) -> Element:
    cards = []
    for measure in results.conditions.measures:
        values = results.values(measure.name)
        before = [] if baseline is None else baseline.values(measure.name)
        if values or before:
            cards.append(_card(measure.name, charts.distribution(measure, values, before)))
    legend = node("p", node("i", class_="was"), " baseline ", node("i", class_="is"), " this one", class_="legend")
    return node("section", legend if baseline else None, node("div", *cards, class_="cards"))


def _moves(found: Comparison) -> list[Node]:
    if found.baseline is None or not found.differences:
        return []
    cards = []
    for one in found.differences:
        first, second = common(found.baseline, found.results, one.measure.name)
        moved = [after - before for before, after in zip(first, second, strict=True)]
        cards.append(_card(one.measure.name, charts.changes(one.measure, moved, direction(one.measure))))
    return [node("h2", "How far cases have moved"), node("div", *cards, class_="cards")]


def _by_tag(results: Results) -> list[Node]:
    tags = dict.fromkeys(tag for case in results.cases for tag in case.tags)
    shown = [measure for measure in results.conditions.measures if measure.better and results.values(measure.name)]
    if len(tags) < 2 or not shown:
        return []
    rows: list[tuple[Node, ...]] = []
    for tag in tags:
        cases = [case for case in results.cases if tag in case.tags]
        rows.append((tag, str(len(cases)), *(_mean(cases, measure) for measure in shown)))
    return [node("h2", "By tag"), table(("", "cases", *(measure.name for measure in shown)), rows)]


def _mean(cases: Sequence[CaseResult], measure: Measure) -> str:
    values = [value for case in cases if (value := case.value(measure.name)) is not None]
    return figure(measure, fmean(values)) if values else "–"


def _card(title: str, plot: Element) -> Element:
    return node("figure", node("figcaption", title), plot)


def _titled(measure: Measure) -> Element:
    less = " less is better" if measure.better == "lower" else ""
    return node("span", measure.name, node("small", less) if less else None)


def _judge(measure: Measure, calibrations: KnownCalibrations) -> Node:
    if measure.judge == CODE:
        return node("small", "code")
    known = calibrations.of(measure.name, measure.judge, measure.version)
    agreed = "not calibrated"
    if known is not None:
        agreed = f"kappa {known.kappa:.2f} ({known.low:.2f} to {known.high:.2f}, n={known.n})"
    return node("small", node("bdi", measure.judge), f", rubric {measure.version}: ", node("em", agreed))


def _range(measure: Measure, low: float, high: float, *, signed: bool = False) -> str:
    """Return an interval, with its unit once."""
    first, last = figure(measure, low, signed=signed), figure(measure, high, signed=signed)
    unit = last.partition(" ")[1] + last.partition(" ")[2]
    return f"{first.removesuffix(unit)} to {last}"


def figure(measure: Measure, value: float, *, signed: bool = False) -> str:
    """Return a value as it is shown: shares in percent, others with their unit."""
    sign = "+" if signed else ""
    if measure.highest == 1:
        return f"{100 * value:{sign}.0f} %" if not signed else f"{100 * value:+.0f} points"
    shown = f"{value:{sign}.0f}" if abs(value) >= 100 else f"{value:{sign}.2f}"
    return f"{shown} {measure.unit}".rstrip() if measure.unit not in ("", "points") else shown
