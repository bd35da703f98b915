"""The plots of a report, as inline SVG of a few shapes: sharp at any size, a few hundred bytes each, in the page's colours."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from evaluation.offline.markup import Node, node
from evaluation.offline.results import Measure

WIDTH, HEIGHT = 320.0, 132.0
_TOP, _BOTTOM, _SIDE = 16.0, 22.0, 8.0
_FLOOR = HEIGHT - _BOTTOM
BINS = 12
"""Of a measure without a scale of its own."""
_MOST_COUNTS = 12
"""Bars that have their count written above them; more would not be read."""


def distribution(measure: Measure, values: Sequence[float], before: Sequence[float] = ()) -> Element:
    """Draw how many cases have which value, and beside it how many had before."""
    edges, labels = _edges(measure, [*values, *before])
    series = [("was", before), ("is", values)] if before else [("is", values)]
    counts = [(kind, np.histogram(given, bins=edges)[0]) for kind, given in series]
    highest = max(1, *(int(one.max()) for _, one in counts))
    slot = (WIDTH - 2 * _SIDE) / (len(edges) - 1)
    width = slot * 0.84 / len(counts)
    shapes: list[Node] = []
    for place, (kind, found) in enumerate(counts):
        for index, count in enumerate(found):
            left = _SIDE + index * slot + slot * 0.08 + place * width
            shapes += _bar(left, width, int(count), highest, kind, counted=len(edges) - 1 <= _MOST_COUNTS)
    return _plot(shapes, [(_SIDE + at * slot, text) for at, text in labels], f"Distribution of {measure.name}")


def changes(measure: Measure, differences: Sequence[float], sign: int) -> Element:
    """Draw how far cases have moved in a measure.

    `sign` is the direction that is better: what moved there is green, the other way red.
    """
    reach = max((abs(one) for one in differences), default=0.0) or 1.0
    # An odd number of bins, so that those that stayed have one of their own in the middle.
    half = 5
    step = reach / half
    edges = np.array([(index - half - 0.5) * step for index in range(2 * half + 2)])
    found = np.histogram(np.clip(differences, edges[0], edges[-1]), bins=edges)[0]
    slot = (WIDTH - 2 * _SIDE) / len(found)
    shapes: list[Node] = []
    for index, count in enumerate(found):
        moved = (index - half) * sign
        kind = "same" if moved == 0 else "good" if moved > 0 else "bad"
        shapes += _bar(
            _SIDE + index * slot + slot * 0.08, slot * 0.84, int(count), max(1, int(found.max())), kind, True
        )
    places = ((half - 5, f"−{_number(reach)}"), (half, "0"), (half + 5, f"+{_number(reach)}"))
    labels = [(_SIDE + (at + 0.5) * slot, text) for at, text in places]
    return _plot(shapes, labels, f"Differences in {measure.name}, case by case")


def interval(low: float, mean: float, high: float, *, lowest: float, highest: float, zero: bool = False) -> Element:
    """Draw a mean and its interval on a scale, with a mark at 0 where that is what matters."""
    width, height = 150.0, 18.0

    def at(value: float) -> float:
        share = (value - lowest) / ((highest - lowest) or 1.0)
        return 6 + (width - 12) * min(1.0, max(0.0, share))

    middle = height / 2
    shapes = [
        node("line", x1=6.0, x2=width - 6, y1=middle, y2=middle, class_="axis"),
        node("line", x1=at(0.0), x2=at(0.0), y1=2.0, y2=height - 2, class_="zero") if zero else None,
        node("line", x1=at(low), x2=at(high), y1=middle, y2=middle, class_="span"),
        node("circle", cx=at(mean), cy=middle, r=4.0, class_="dot"),
    ]
    label = f"{mean:.3f}, from {low:.3f} to {high:.3f}"
    return node("svg", *shapes, viewBox=f"0 0 {width:g} {height:g}", class_="interval", role="img", aria_label=label)


def _bar(left: float, width: float, count: int, highest: int, kind: str, counted: bool) -> list[Node]:
    if not count:
        return []
    height = (_FLOOR - _TOP) * count / highest
    bar = node("rect", x=left, y=_FLOOR - height, width=width, height=height, class_=kind, rx=1.5)
    text = node("text", str(count), x=left + width / 2, y=_FLOOR - height - 4, class_="count")
    return [bar, text if counted else None]


def _plot(shapes: Sequence[Node], labels: Sequence[tuple[float, str]], name: str) -> Element:
    axis = node("line", x1=_SIDE, x2=WIDTH - _SIDE, y1=_FLOOR, y2=_FLOOR, class_="axis")
    texts = [
        node("text", text, x=at, y=HEIGHT - 7, class_="first" if at < 40 else "last" if at > WIDTH - 40 else "label")
        for at, text in labels
    ]
    return node("svg", *shapes, axis, *texts, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img", aria_label=name)


def _edges(measure: Measure, values: Sequence[float]) -> tuple[Sequence[float], list[tuple[float, str]]]:
    """Return the edges of the bins, and what stands below them, in bins from the left."""
    if measure.kind == "yes_no" and set(values) <= {0.0, 1.0}:
        return [-0.5, 0.5, 1.5], [(0.5, "no"), (1.5, "yes")]
    if measure.highest == 10:  # a grade: every whole number has a bin
        return [at - 0.5 for at in range(12)], [(at + 0.5, str(at)) for at in (0, 2, 4, 6, 8, 10)]
    low = 0.0 if measure.highest is not None else min([0.0, *values])
    high = measure.highest if measure.highest is not None else max([*values, low + 1e-9])
    return list(np.linspace(low, high, BINS + 1)), [
        (0, _number(low)),
        (BINS / 2, _number((low + high) / 2)),
        (BINS, f"{_number(high)} {measure.unit}".strip()),
    ]


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}".removesuffix(".0")
