"""The comparison as one picture: CPU per token, throughput, added lag."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.report import number
from benchmarks.summary import Comparison, Row, rows

_COLOURS = {"a": "#9aa5b1", "b": "#e08e45", "c": "#2f6fb0"}
_INK = "#333333"
_BARS = (("CPU per token, ms (less is better)", "cpu_ms_per_token"), ("tokens per second", "tokens_per_s"))
_LAG = "added lag, ms, log scale: p50, line to p99"


def draw(comparison: Comparison, file: Path) -> None:
    """Writes SVG or PNG, by the file's suffix. The same figures give the same bytes."""
    mpl.use("Agg")
    with mpl.rc_context({"svg.hashsalt": "bench", "font.size": 9, "text.color": _INK, "axes.labelcolor": _INK}):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        panels = figure.subplots(1, len(_BARS) + 1)
        for axes, (title, name) in zip(panels, _BARS, strict=False):
            _bars(_panel(axes, comparison, title=title), comparison, name=name)
        _lags(_panel(panels[-1], comparison, title=_LAG), comparison)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else {"Software": None})


def _panel(axes: Any, comparison: Comparison, *, title: str) -> Any:
    """One group of marks per workload."""
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xticks(
        range(len(comparison.workloads)), [f"{load.name}: {load.streams} streams" for load in comparison.workloads]
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.08, y=0.15)
    return axes


def _placed(comparison: Comparison) -> Iterator[tuple[str, str, float, list[tuple[float, Row]]]]:
    """For each server: its colour, its label, its width, and where each of its rows stands."""
    summary = rows(comparison)
    order = {workload.name: place for place, workload in enumerate(comparison.workloads)}
    width = 0.8 / len(comparison.targets)
    for index, (target, title) in enumerate(comparison.targets.items()):
        offset = (index - (len(comparison.targets) - 1) / 2) * width
        mine = [(order[row.workload] + offset, row) for row in summary if row.target == target]
        yield _COLOURS.get(target, _INK), f"{target}: {title.replace('`', '')}", width, mine


def _bars(axes: Any, comparison: Comparison, *, name: str) -> None:
    for colour, label, width, mine in _placed(comparison):
        heights = [getattr(row, name) for _, row in mine]
        drawn = axes.bar([place for place, _ in mine], heights, width * 0.92, color=colour, label=label)
        axes.bar_label(drawn, [number(height) for height in heights], fontsize=8, padding=2)


def _lags(axes: Any, comparison: Comparison) -> None:
    """Points, because a bar has no foot on a logarithmic scale."""
    axes.set_yscale("log")
    for colour, _, _, mine in _placed(comparison):
        for place, row in mine:
            axes.plot([place, place], [row.lag_p50_ms, row.lag_p99_ms], color=colour, linewidth=2)
            axes.plot([place], [row.lag_p50_ms], "o", color=colour)
            for value, below in ((row.lag_p50_ms, True), (row.lag_p99_ms, False)):
                shift, side = (-5, "top") if below else (2, "bottom")
                axes.annotate(
                    number(value),
                    (place, value),
                    ha="center",
                    va=side,
                    fontsize=8,
                    xytext=(0, shift),
                    textcoords="offset points",
                )
