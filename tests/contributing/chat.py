"""Alerts to a chat room that takes JSON with a text: one message for each piece of news."""

import orjson

from services.alerts.links import Links
from services.alerts.types import DueAlert
from services.runs.webhook_post import Post, Posted


class ChatChannel:
    """Implements `AlertChannel`. A message stays where it is, so each is told once."""

    repeat_s: float | None = None

    def __init__(self, url: str, post: Post, links: Links) -> None:
        self._url = url
        self._post = post
        self._links = links

    async def tell(self, due: DueAlert) -> Posted:
        lines = [f"{due.news} ({due.alert.severity}): {due.alert.summary}", *self._links.runs(due.alert.run_ids)]
        return await self._post(self._url, {}, orjson.dumps({"text": "\n".join(lines)}))
