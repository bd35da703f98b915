"""A real Prometheus beside a real cluster: everything that is declared can be seen, and an alert reaches whoever is to know."""

from collections.abc import Mapping
from pathlib import Path

import httpx

from configs.observability.panels import DASHBOARDS
from services.telemetry.metrics import METRICS
from tests.e2e.faults.conftest import Site
from tests.e2e.faults.monitoring import monitoring
from tests.e2e.faults.operating import user_config
from tests.e2e.faults.provoking import SEMANTIC, fail, lose_a_trace, provoke, refuse

UNPROVOKED: Mapping[str, str] = {
    "mainstay_pruned_rows": "nothing younger than an hour may be let go of (tests/deployments/test_chore_reports.py)",
}
"""Metrics that no sample is asked of here, and why."""

SUFFIXES = {"counter": "_total", "histogram": "_count", "gauge": ""}


async def test_everything_declared_is_seen_and_an_alert_is_told(
    site: Site, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Each metric has a sample, each panel draws something, and failing runs reach a webhook through Alertmanager."""
    async with monitoring(site.served, tmp_path) as watching:
        async with user_config(site.served, "agent", sampling={"base_rate": 1.0}, semantic=SEMANTIC):
            await lose_a_trace(site, client)
            await refuse(site, client)
            await provoke(site, client)
            await watching.until(
                {f"ray_{name}{SUFFIXES[metric.kind]}" for name, metric in METRICS.items() if name not in UNPROVOKED}
            )
            await provoke(site, client)  # what had no series before has grown now: there is a rate
            await watching.until_drawn(panels())
        await fail(site, client, watching)
        told = await watching.until_told("MainstayAvailabilityBurn")
    assert told["labels"]["severity"] == "page"
    assert told["annotations"]["runbook_url"] == "docs/operations.md#mainstayavailabilityburn"
    assert "of the runs failed" in told["annotations"]["description"]


def panels() -> dict[str, str]:
    """Return every query of every panel that can have data here."""
    return {
        f"{dashboard.title}, {panel.title}, {legend}": query
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for legend, query in panel.queries.items()
        if not any(name in query for name in UNPROVOKED)
    }
