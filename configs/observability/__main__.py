"""Writes the dashboards: `python -m configs.observability`."""

from pathlib import Path

from configs.observability.dashboards import files
from configs.observability.panels import DASHBOARDS

FOLDER = Path(__file__).parent / "grafana"

if __name__ == "__main__":
    for name, text in files(DASHBOARDS):
        (FOLDER / name).write_text(text, encoding="utf-8")
