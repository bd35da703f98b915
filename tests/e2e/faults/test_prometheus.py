"""A real Prometheus beside a real cluster: everything that is declared can be seen, and an alert reaches whoever is to know."""

from pathlib import Path

import httpx

from configs.observability.panels import DASHBOARDS
from services.telemetry.metrics import METRICS
from tests.e2e.faults.conftest import PRUNED_EVERY_S, Site, heal
from tests.e2e.faults.monitoring import WITHIN_S, monitoring
from tests.e2e.faults.operating import user_config
from tests.e2e.faults.provoking import SEMANTIC, fail, lose_a_trace, outlive, provoke, refuse

SUFFIXES = {"counter": "_total", "histogram": "_count", "gauge": ""}


async def test_everything_declared_is_seen_and_an_alert_is_told(
    site: Site, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Each metric has a sample, each panel draws something, and failing runs reach a webhook through Alertmanager."""
    async with monitoring(site.served, tmp_path) as watching:
        await outlive(site, client)  # before all else, for the chore looks once a minute
        async with user_config(site.served, "agent", sampling={"base_rate": 1.0}, semantic=SEMANTIC):
            await lose_a_trace(site, client)
            await refuse(site, client)
            await provoke(site, client)
            await fail(site, client, watching)
            told = await watching.until_told("MainstayAvailabilityBurn")
            await watching.until(
                {f"ray_{name}{SUFFIXES[metric.kind]}" for name, metric in METRICS.items()}, PRUNED_EVERY_S + WITHIN_S
            )
            await heal(site, client)
            await provoke(site, client)  # what had no series before has grown now: there is a rate
            await watching.until_drawn(panels())
    assert told["labels"]["severity"] == "page"
    assert told["annotations"]["runbook_url"] == "docs/operations.md#mainstayavailabilityburn"
    assert "of the runs failed" in told["annotations"]["description"]


def panels() -> dict[str, str]:
    """Return every query of every panel."""
    return {
        f"{dashboard.title}, {panel.title}, {legend}": query
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for legend, query in panel.queries.items()
    }
