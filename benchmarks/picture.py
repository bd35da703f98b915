"""The comparison as one picture: CPU per token, throughput, added lag."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.report import number
from benchmarks.summary import Comparison, Row, rows

_COLOURS = {"a": "#9aa5b1", "b": "#e08e45", "c": "#2f6fb0"}
_INK = "#333333"
_PANELS: tuple[tuple[str, str], ...] = (
    ("CPU per token, ms (less is better)", "cpu_ms_per_token"),
    ("tokens per second (more is better)", "tokens_per_s"),
    ("added lag per token, ms: p50, whisker to p99 (less is better)", "lag_p50_ms"),
)


def draw(comparison: Comparison, file: Path) -> None:
    """Writes SVG or PNG, by the file's suffix. The same figures give the same bytes."""
    mpl.use("Agg")
    with mpl.rc_context({"svg.hashsalt": "bench", "font.size": 9, "text.color": _INK, "axes.labelcolor": _INK}):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        for axes, (title, name) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
            _panel(axes, comparison, title=title, name=name)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else {"Software": None})


def _panel(axes: Any, comparison: Comparison, *, title: str, name: str) -> None:
    """One group of bars per workload, one bar per server."""
    summary = rows(comparison)
    names = [workload.name for workload in comparison.workloads]
    width = 0.8 / len(comparison.targets)
    for index, (target, long_name) in enumerate(comparison.targets.items()):
        mine = {row.workload: row for row in summary if row.target == target}
        places = [place + (index - (len(comparison.targets) - 1) / 2) * width for place in range(len(names))]
        heights = [getattr(mine[workload], name) for workload in names]
        axes.bar(places, heights, width * 0.92, color=_COLOURS.get(target, "#666666"), label=f"{target}: {long_name}")
        for place, height, workload in zip(places, heights, names, strict=True):
            top = _whisker(axes, mine[workload], place) if name == "lag_p50_ms" else height
            axes.annotate(
                number(height),
                (place, top),
                ha="center",
                va="bottom",
                fontsize=8,
                xytext=(0, 2),
                textcoords="offset points",
            )
    if name == "lag_p50_ms":
        axes.set_yscale("log")
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xticks(
        range(len(names)), [f"{workload.name}: {workload.streams} streams" for workload in comparison.workloads]
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.15)


def _whisker(axes: Any, row: Row, place: float) -> float:
    axes.plot([place, place], [row.lag_p50_ms, row.lag_p99_ms], color=_INK, linewidth=1)
    return row.lag_p99_ms
