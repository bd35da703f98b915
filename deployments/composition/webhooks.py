"""Webhooks as the settings have them: whose URLs are taken, and who delivers."""

import asyncio
import os

from configs.settings import Settings
from configs.webhooks import WebhookSettings
from deployments.webhooks import Webhooks
from services.runs.webhook_message import WebhookSigner
from services.runs.webhook_post import HttpPost
from services.runs.webhooks import WebhookDeliveries, WebhookPolicy
from services.security.addresses import AddressPolicy, guarded_session
from services.sending import Sender
from services.storage.database import Database
from services.storage.webhooks import WebhookRepository
from services.telemetry.metrics import WEBHOOK_ATTEMPTS, Meter


def address_policy(settings: Settings) -> AddressPolicy | None:
    """Return which URLs webhooks may go to; None while there is no secret, and so no webhook."""
    webhooks = settings.webhooks
    if not webhooks.secret.resolve(os.environ):
        return None
    return _policy(webhooks)


def open_webhooks(settings: Settings, database: Database, meter: Meter) -> Webhooks | None:
    """Begin to deliver what is due. Raises ConfigurationError for a secret or numbers that cannot work."""
    webhooks = settings.webhooks
    secret = webhooks.secret.resolve(os.environ)
    if not secret:
        return None
    session = guarded_session(_policy(webhooks), max_connections=webhooks.concurrency)
    policy = WebhookPolicy(
        attempts=webhooks.attempts,
        retry_base_s=webhooks.retry_base_s,
        retry_max_s=webhooks.retry_max_s,
        timeout_s=webhooks.timeout_s,
        concurrency=webhooks.concurrency,
        per_tenant=webhooks.per_tenant,
    )
    deliveries = WebhookDeliveries(
        WebhookRepository(database),
        HttpPost(session),
        WebhookSigner(secret),
        reported=lambda outcome: meter.record(WEBHOOK_ATTEMPTS, 1, {"outcome": outcome}),
    )
    sender = Sender(deliveries, policy, per_lane=policy.per_tenant)
    return Webhooks(sender=sender, sending=asyncio.create_task(sender.forever()), session=session)


def _policy(webhooks: WebhookSettings) -> AddressPolicy:
    return AddressPolicy(
        schemes=frozenset({"https", "http"} if webhooks.allow_http else {"https"}),
        ports=frozenset(webhooks.allow_ports),
        hosts=webhooks.allow_hosts,
        allow_private=webhooks.allow_private,
    )
