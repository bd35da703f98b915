"""The cases of a report: those to read first, and all of them."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from evaluation.offline.comparison import direction
from evaluation.offline.markup import Node, node, table
from evaluation.offline.results import CaseResult, Measure, Results

MOST_SHOWN = 8
MAX_CHARS = 4_000
"""Of a text that a report shows; the results have all of it."""


def sections(results: Results, baseline: Results | None) -> list[Node]:
    """Return the worst cases, or those that became worse by most, and a table of all."""
    before = {} if baseline is None else {case.id: case for case in baseline.cases}
    measures = results.conditions.measures
    if baseline is None:
        title, chosen = (
            "The worst cases",
            [case for case in worst(results.cases, measures) if goodness(case, measures) < 1],
        )
    else:
        title, chosen = "Worse than the baseline", became_worse(results.cases, before, measures)
    cards = [_case(case, before.get(case.id), measures) for case in chosen[:MOST_SHOWN]]
    every = node("details", node("summary", f"All {len(results.cases)} cases"), _all(results.cases, measures))
    return [node("h2", title), *(cards or [node("p", "None.")]), node("h2", "All cases"), every]


def worst(cases: Sequence[CaseResult], measures: Sequence[Measure]) -> list[CaseResult]:
    """Return cases, those that failed first, then by how good they are over all measures that have a scale."""
    return sorted(cases, key=lambda case: (not case.failure, goodness(case, measures)))


def became_worse(
    cases: Sequence[CaseResult], before: "dict[str, CaseResult]", measures: Sequence[Measure]
) -> list[CaseResult]:
    """Return the cases that are less good than they were, those that lost most first."""
    lost = [
        (goodness(before[case.id], measures) - goodness(case, measures), case) for case in cases if case.id in before
    ]
    return [case for loss, case in sorted(lost, key=lambda one: -one[0]) if loss > 0]


def goodness(case: CaseResult, measures: Sequence[Measure]) -> float:
    """Return the mean of a case's values, each from 0 (bad) to 1: an order to read in, and not a score."""
    shares = []
    for measure in measures:
        value, sign = case.value(measure.name), direction(measure)
        if value is not None and sign and measure.highest:
            share = value / measure.highest
            shares.append(share if sign > 0 else 1 - share)
    return sum(shares) / len(shares) if shares else 0.0


def _case(case: CaseResult, before: CaseResult | None, measures: Sequence[Measure]) -> Element:
    texts = [("Question", case.question), ("Reference", case.reference)]
    texts += [("Baseline's answer", _said(before))] if before is not None else []
    texts += [("Answer", _said(case))]
    parts = [node("div", node("dt", what), node("dd", _clipped(text))) for what, text in texts if text]
    tools = node("div", node("dt", "Tools"), node("dd", ", ".join(case.tools))) if case.tools else None
    rows: list[tuple[Node, ...]] = [
        (measure.name, *([_value(before, measure)] if before else []), _value(case, measure), _reason(case, measure))
        for measure in measures
    ]
    heads = ("", *(["was"] if before else []), "is" if before else "", "reason")
    return node("article", node("h3", case.id), node("dl", *parts, tools), table(heads, rows, class_="small"))


def _all(cases: Sequence[CaseResult], measures: Sequence[Measure]) -> Element:
    rows: list[tuple[Node, ...]] = [
        (case.id, _clipped(case.question, 160), _clipped(_said(case), 240), *(_value(case, one) for one in measures))
        for case in cases
    ]
    return table(("", "question", "answer", *(measure.name for measure in measures)), rows, class_="small")


def _said(case: CaseResult) -> str:
    return f"[{case.failure}] {case.answer}".rstrip() if case.failure else case.answer


def _value(case: CaseResult, measure: Measure) -> Element:
    value = case.value(measure.name)
    if value is None:
        return node("span", "–")
    if measure.kind == "yes_no" and value in (0.0, 1.0):
        good = (value > 0) == (direction(measure) > 0)
        return node("span", "yes" if value else "no", class_="" if not direction(measure) else "yes" if good else "no")
    return node("span", f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}")


def _reason(case: CaseResult, measure: Measure) -> str:
    reading = case.readings.get(measure.name)
    return "" if reading is None else _clipped(reading.reason, 600)


def _clipped(text: str, most: int = MAX_CHARS) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
