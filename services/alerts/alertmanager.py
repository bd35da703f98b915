"""Alerts to Prometheus' Alertmanager, version 2 of its API: `POST /api/v2/alerts`.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml

It forgets an alert at its `endsAt`, so what fires is told again and again with one that is a few repetitions away: should all
of Mainstay be lost the alert ends by itself. Grouping, silencing and whom to wake are its business.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import orjson

from services.alerts.links import Links
from services.alerts.types import Alert, DueAlert, News
from services.runs.webhook_post import Post, Posted

REPETITIONS = 4
"""After so many that did not come it is over, as Prometheus has it (`ValidUntil` in its rules/alerting.go)."""


class AlertmanagerChannel:
    """Implements `services.alerts.delivery.AlertChannel`. `url` is Alertmanager's own, with its path prefix if it has one."""

    def __init__(
        self,
        url: str,
        post: Post,
        links: Links,
        *,
        repeat_s: float = 60.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._post = post
        self._links = links
        self.repeat_s: float | None = repeat_s
        self._holds = timedelta(seconds=REPETITIONS * repeat_s)
        self._now = now

    async def tell(self, due: DueAlert) -> Posted:
        now = self._now()
        ends_at = now if due.news is News.RESOLVED else due.ends_at or now + self._holds
        return await self._post(self._url, {}, orjson.dumps([posted_alert(due, ends_at, self._links)]))


def posted_alert(due: DueAlert, ends_at: datetime, links: Links) -> dict[str, object]:
    """Return an alert as the API has it. Empty labels are left out: to Alertmanager they are the same as none."""
    alert = due.alert
    labels = {"alertname": alert_name(alert), "severity": str(alert.severity), **alert.labels}
    facts = {name: str(value) for name, value in alert.facts.items()}
    runs = links.runs(alert.run_ids)
    posted: dict[str, object] = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": alert.summary, "runs": "\n".join(runs), **facts},
        "startsAt": due.raised_at.isoformat(),
        "endsAt": ends_at.isoformat(),
    }
    return {**posted, "generatorURL": runs[0]} if runs and links.base_url else posted


def alert_name(alert: Alert) -> str:
    """Return the name that routes match: `MainstayScoreFell`."""
    return "Mainstay" + "".join(word.capitalize() for word in alert.kind.split("_"))
