"""What Grafana wants round the panels that panels/ has; `python -m configs.observability` writes it all into grafana/*.json.

A dashboard's uid is its file's name, and a panel's id follows from its title: both stay the same when other panels come and go,
so links and embedded panels do too.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_WIDTH, _HEIGHT, _PER_ROW = 8, 8, 3
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """`queries` are PromQL by legend, in which `{{label}}` stands for a label's value. `unit` is Grafana's name of one."""

    title: str
    description: str
    queries: Mapping[str, str]
    unit: Literal["short", "s", "reqps", "percentunit", "none"] = "short"
    stacked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    uid: str
    title: str
    panels: Sequence[Panel]


def model(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana takes it, of schema 39 (Grafana 10.4 and later)."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["mainstay"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "title": "Mainstay", "tags": ["mainstay"], "asDropdown": True}],
        "templating": {
            "list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [_panel(panel, place) for place, panel in enumerate(dashboard.panels)],
    }


def panel_id(title: str) -> int:
    """Return the id of a panel: positive, below 2**31, and the same wherever it stands."""
    return zlib.crc32(title.encode()) & 0x7FFF_FFFF


def files(dashboards: Sequence[Dashboard]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each dashboard's file."""
    for dashboard in dashboards:
        yield f"{dashboard.uid}.json", json.dumps(model(dashboard), indent=2) + "\n"


def _panel(panel: Panel, place: int) -> dict[str, Any]:
    stacking = {"mode": "normal" if panel.stacked else "none"}
    return {
        "id": panel_id(panel.title),
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": {
            "x": place % _PER_ROW * _WIDTH,
            "y": place // _PER_ROW * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": {"fillOpacity": 20 if panel.stacked else 0, "stacking": stacking},
            },
            "overrides": [],
        },
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"displayMode": "list"}},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _DATASOURCE, "expr": query, "legendFormat": legend}
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }
