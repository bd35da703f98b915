"""A receiver that answers what a test wrote, and a replica that sends it webhooks, in a time of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.runs.webhook_message import WebhookSigner
from services.runs.webhook_post import Posted
from services.runs.webhooks import WebhookDeliveries, WebhookPolicy
from services.sending import Sender
from services.storage.memory_webhooks import MemoryWebhooks, Webhook
from services.types import Run
from tests.services.runs.test_webhook_message import ENDED, SECRET

URL = "https://hook.example/token-in-path?token=in-query"
BUSY = Posted(problem="HTTP 503")
STARTED_AT = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)


@dataclass
class Scripted:
    """Implements `Post`: gives `answers` in turn, the last one for ever; an exception is raised, `held` awaited first.

    `reached` is set once `expects` attempts were made; `most` is how many there ever were at once.
    """

    answers: list[Posted | Exception] = field(default_factory=lambda: [Posted()])
    held: asyncio.Event | None = None
    sent: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    open: int = 0
    most: int = 0
    expects: int = 1
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        self.sent.append((url, headers, body))
        self.open += 1
        self.most = max(self.most, self.open)
        if len(self.sent) == self.expects:
            self.reached.set()
        try:
            if self.held is not None:
                await self.held.wait()
        finally:
            self.open -= 1
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(given, Exception):
            raise given
        return given


class Replica:
    """A sender over an outbox in memory. Time passes as it pauses: `jump_s` for each pause, whatever it asks for."""

    def __init__(
        self,
        post: Callable[[str, Mapping[str, str], bytes], Awaitable[Posted]],
        *,
        policy: WebhookPolicy | None = None,
        random: float = 1.0,
        jump_s: float = 1.0,
    ) -> None:
        self.at = STARTED_AT
        self.runs: dict[UUID, Run] = {}
        self.outbox = MemoryWebhooks(self.runs.get, now=lambda: self.at)
        self.reported: list[str] = []
        self.pauses: list[float] = []
        self._left = 0
        self._jump_s = jump_s
        policy = policy or WebhookPolicy()
        deliveries = WebhookDeliveries(
            self.outbox,
            post,
            WebhookSigner(SECRET),
            reported=self.reported.append,
            now=lambda: self.at.timestamp(),
        )
        self.sender = Sender(deliveries, policy, per_lane=policy.per_tenant, random=lambda: random, sleep=self._sleep)

    def ended(self, *, tenant_id: str = "acme", url: str = URL) -> Webhook:
        """A run that has just ended, and its row."""
        run = replace(ENDED, id=uuid4(), tenant_id=tenant_id)
        self.runs[run.id] = run
        self.outbox.add(run, url)
        self.outbox.ended(run.id)
        return self.outbox.rows[run.id]

    async def run(self, pauses: int = 1) -> None:
        """Have the sender work until it has paused so often."""
        self._left = pauses
        with pytest.raises(asyncio.CancelledError):
            await self.sender.forever()

    async def _sleep(self, seconds: float) -> None:
        await self.sender.close()
        self.pauses.append(seconds)
        self.at += timedelta(seconds=self._jump_s)
        self._left -= 1
        if not self._left:
            raise asyncio.CancelledError
