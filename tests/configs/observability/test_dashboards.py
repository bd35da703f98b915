"""The dashboards: what is committed is what is generated, and every panel can be told apart, read and drawn."""

import re

import pytest

from configs.observability.__main__ import FOLDER
from configs.observability.dashboards import Dashboard, files, model
from configs.observability.panels import DASHBOARDS


def test_the_files_are_what_the_panels_say() -> None:
    """Change the panels, and run `python -m configs.observability`."""
    committed = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert committed == dict(files(DASHBOARDS))


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_panels_have_ids_and_places_of_their_own(dashboard: Dashboard) -> None:
    """No two share an id or a corner, and nothing is wider than the grid."""
    panels = model(dashboard)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert len({(place["x"], place["y"]) for place in places}) == len(panels)
    assert all(place["x"] + place["w"] <= 24 for place in places)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_a_legend_names_labels_that_its_query_keeps(dashboard: Dashboard) -> None:
    """Else it would be drawn as an empty name; recording rules keep what their name's rule says."""
    for panel in dashboard.panels:
        assert panel.description.endswith("."), panel.title
        for legend, query in panel.queries.items():
            kept = set(re.split(r",\s*", ", ".join(re.findall(r"by \(([^)]*)\)", query))))
            if not query.startswith("mainstay:"):
                assert set(re.findall(r"{{(\w+)}}", legend)) <= kept, panel.title


def test_uids_fit_grafana() -> None:
    """At most 40 characters that need no escaping in an address."""
    assert all(re.fullmatch(r"[a-z-]{1,40}", dashboard.uid) for dashboard in DASHBOARDS)
