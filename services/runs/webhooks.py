"""Webhooks: when a run has ended, the URL that its client gave is told, until it listens or all attempts are used up.

A row of the outbox becomes due in the statement that ends its run, so an end and its webhook are stored together or not at
all. How what is due is sent is in `services/sending.py`.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from services.errors import UnsupportedParameter
from services.runs.webhook_message import WebhookSigner, message_body, message_id
from services.runs.webhook_post import Post, Posted
from services.security.addresses import AddressPolicy, host_of
from services.sending import SendingPolicy, outlook
from services.types import Run

logger = logging.getLogger(__name__)

PARAM = "webhook_url"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWebhook:
    """A message to deliver: how `run` ended (its input is not there), and the number of this attempt, from 1."""

    run: Run
    url: str = field(repr=False)
    attempt: int


class WebhookOutbox(Protocol):
    """Where webhooks wait. Every method is one statement and raises StoreUnavailable."""

    async def take(self, *, limit: int, claim_s: float, without: Collection[str] = ()) -> Sequence[DueWebhook]:
        """Begin an attempt at webhooks that are due, those that have been for longest first, but of tenants in `without`.

        Several replicas may do so at once: each webhook goes to one of them, and is due again after `claim_s` unless it was
        said by then what became of it.
        """
        ...

    async def delivered(self, due: DueWebhook) -> None:
        """Record that the receiver has taken it, and have it never due again."""
        ...

    async def failed(self, due: DueWebhook, problem: str, *, retry_in_s: float | None) -> None:
        """Record why the attempt failed; the next is due in so many seconds, or there is none with None.

        Nothing is recorded once another attempt has begun, or the message was delivered.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookPolicy(SendingPolicy):
    """As it stands one hour at most from the first attempt to the last, and half an hour on average. A tenant that has
    `per_tenant` of the attempts gets no more, so that a receiver that lets us wait holds up its own tenant's messages alone.
    """

    section: ClassVar[str] = "webhooks"

    attempts: int = 6
    retry_base_s: float = 120.0
    retry_max_s: float = 3_600.0
    timeout_s: float = 10.0
    concurrency: int = 32
    poll_s: float = 1.0
    per_tenant: int = 8


def check_url(url: str, policy: AddressPolicy | None) -> None:
    """Raise InvalidRequest for a URL that no webhook may go to, whatever it is without a policy: then there are none."""
    if policy is None:
        raise UnsupportedParameter("Webhooks are not configured here: the operator has set no secret.", param=PARAM)
    policy.check(url, param=PARAM)


class WebhookDeliveries:
    """Implements `services.sending.Deliveries`: each goes to its run's URL, signed for its tenant.

    `reported` is told what came of each attempt: `delivered`, `retried` or `given_up`.
    """

    what = "webhooks"

    def __init__(
        self,
        outbox: WebhookOutbox,
        post: Post,
        signer: WebhookSigner,
        *,
        reported: Callable[[str], None] = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._post = post
        self._signer = signer
        self._reported = reported
        self._now = now

    async def take(self, *, limit: int, claim_s: float, without: Collection[str]) -> Sequence[DueWebhook]:
        return await self._outbox.take(limit=limit, claim_s=claim_s, without=without)

    def lane(self, due: DueWebhook) -> str:
        return due.run.tenant_id

    def name(self, due: DueWebhook) -> str:
        return f"webhook of run {due.run.id} to {host_of(due.url)}"

    def repeat_s(self, due: DueWebhook) -> float | None:
        return None

    async def attempt(self, due: DueWebhook) -> Posted:
        body = message_body(due.run)
        headers = self._signer.headers(due.run.tenant_id, message_id(due.run.id), int(self._now()), body)
        return await self._post(due.url, headers, body)

    async def delivered(self, due: DueWebhook) -> None:
        self._reported("delivered")
        await self._outbox.delivered(due)

    async def failed(self, due: DueWebhook, problem: str, *, retry_in_s: float | None) -> None:
        self._reported("given_up" if retry_in_s is None else "retried")
        level = logging.WARNING if retry_in_s is None else logging.INFO
        logger.log(level, "%s: %s", self.name(due), outlook(due.attempt, problem, retry_in_s))
        await self._outbox.failed(due, problem, retry_in_s=retry_in_s)
