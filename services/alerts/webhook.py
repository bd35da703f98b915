"""Alerts to a webhook: the same specification and signature as the end of a run's, under a secret of the operator's own."""

import time
from collections.abc import Callable
from datetime import UTC
from typing import Any

import orjson

from services.alerts.links import Links
from services.alerts.types import DueAlert
from services.runs.webhook_message import MessageSigner
from services.runs.webhook_post import Post, Posted


class WebhookChannel:
    """Implements `services.alerts.delivery.AlertChannel`. Each piece of news is told once, with an id of its own."""

    repeat_s: float | None = None

    def __init__(
        self,
        url: str,
        post: Post,
        signer: MessageSigner,
        links: Links,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._post = post
        self._signer = signer
        self._links = links
        self._now = now

    async def tell(self, due: DueAlert) -> Posted:
        body = message(due, self._links)
        headers = self._signer.headers(f"msg_{due.alert.id}_{due.news}", int(self._now()), body)
        return await self._post(self._url, headers, body)


def message(due: DueAlert, links: Links) -> bytes:
    """Return what is told, as JSON."""
    alert = due.alert
    data: dict[str, Any] = {
        "id": alert.id,
        "kind": alert.kind,
        "severity": alert.severity,
        "summary": alert.summary,
        "labels": dict(alert.labels),
        "facts": dict(alert.facts),
        "since": alert.since.astimezone(UTC),
        "resolution": due.resolution,
        "runs": links.runs(alert.run_ids),
    }
    told = {"type": f"alert.{due.news}", "timestamp": due.raised_at.astimezone(UTC), "data": data}
    return orjson.dumps(told, option=orjson.OPT_UTC_Z)
