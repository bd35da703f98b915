"""The watch over judged answers as the settings have it, and where its alerts go."""

import asyncio
import ipaddress
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from uuid_utils.compat import uuid7

from configs.alerts import AlertSettings
from configs.settings import Settings
from deployments.drift import DriftWatch
from evaluation.drift.level import LevelPolicy
from evaluation.drift.series import DriftPolicy
from evaluation.drift.unsafe import AlertingScores, UnsafePolicy
from evaluation.drift.watcher import Watcher, WatchPolicy
from evaluation.evaluator import ScoreStore
from services.alerts.alertmanager import AlertmanagerChannel
from services.alerts.delivery import AlertChannel, AlertDeliveries, AlertPolicy
from services.alerts.links import Links
from services.alerts.webhook import WebhookChannel
from services.errors import ConfigurationError, InvalidRequest
from services.runs.webhook_message import MessageSigner
from services.runs.webhook_post import HttpPost
from services.security.addresses import AddressPolicy, guarded_session
from services.sending import Sender
from services.storage.alerts import AlertRepository
from services.storage.database import Database
from services.storage.drift import DriftRepository
from services.telemetry.metrics import ALERT_DELIVERIES, Meter

logger = logging.getLogger(__name__)

WEBHOOK, ALERTMANAGER = "webhook", "alertmanager"
_ANYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outlet:
    channel: AlertChannel
    session: aiohttp.ClientSession


def alerting(scores: ScoreStore, settings: Settings, database: Database, meter: Meter) -> ScoreStore:
    """Return a store of scores that alerts where one says that an answer is unsafe; where none can, `scores`, and say so."""
    unsafe = settings.alerts.unsafe
    if unsafe.criterion not in settings.evaluator.criteria:
        logger.warning("no unsafe answer alerts: %r is not one of evaluator.criteria", unsafe.criterion)
        return scores
    return AlertingScores(
        scores,
        AlertRepository(database, channel_names(settings.alerts)),
        UnsafePolicy(criterion=unsafe.criterion, lowest=unsafe.lowest, highest=unsafe.highest, lasts_s=unsafe.lasts_s),
        new_id=uuid7,
        meter=meter,
    )


def open_drift(settings: Settings, database: Database, meter: Meter) -> DriftWatch:
    """Begin to watch, and to tell of alerts. Raises ConfigurationError for a URL or a secret that cannot work."""
    alerts = settings.alerts
    outlets = _outlets(alerts)
    watcher = Watcher(
        DriftRepository(database, tuple(outlets), new_id=uuid7),
        WatchPolicy(
            drift=DriftPolicy(level=LevelPolicy(warm_up=alerts.drift.warm_up)),
            poll_s=alerts.drift.poll_s,
            lease_s=alerts.drift.lease_s,
            quiet_s=alerts.drift.quiet_s,
        ),
        holder=uuid7(),
        new_id=uuid7,
        meter=meter,
    )
    policy = AlertPolicy(
        attempts=alerts.attempts,
        retry_base_s=alerts.retry_base_s,
        retry_max_s=alerts.retry_max_s,
        timeout_s=alerts.timeout_s,
    )
    deliveries = AlertDeliveries(
        AlertRepository(database, tuple(outlets)),
        {name: outlet.channel for name, outlet in outlets.items()},
        reported=lambda channel, outcome: meter.record(ALERT_DELIVERIES, 1, {"channel": channel, "outcome": outcome}),
    )
    sender = Sender(deliveries, policy, per_lane=policy.per_channel)
    return DriftWatch(
        watcher=watcher,
        watching=asyncio.create_task(watcher.forever()),
        sender=sender,
        sending=asyncio.create_task(sender.forever()) if outlets else None,
        sessions=[outlet.session for outlet in outlets.values()],
    )


def channel_names(alerts: AlertSettings) -> tuple[str, ...]:
    """Return who is told of alerts, as far as this environment says where they are."""
    urls = {WEBHOOK: alerts.webhook_url, ALERTMANAGER: alerts.alertmanager_url}
    return tuple(name for name, url in urls.items() if url.resolve(os.environ))


def _outlets(alerts: AlertSettings) -> Mapping[str, _Outlet]:
    links, outlets = Links(base_url=alerts.public_url), {}
    if url := alerts.webhook_url.resolve(os.environ):
        secret = alerts.webhook_secret.resolve(os.environ)
        if not secret:
            raise ConfigurationError(f"Alerts go to a webhook: set {alerts.webhook_secret.env}, which signs them.")
        signer, session = MessageSigner(secret), _session(url, alerts.webhook_url.env)
        outlets[WEBHOOK] = _Outlet(channel=WebhookChannel(url, HttpPost(session), signer, links), session=session)
    if url := alerts.alertmanager_url.resolve(os.environ):
        session = _session(url, alerts.alertmanager_url.env)
        channel = AlertmanagerChannel(url, HttpPost(session), links, repeat_s=alerts.repeat_s)
        outlets[ALERTMANAGER] = _Outlet(channel=channel, session=session)
    return outlets


def _session(url: str, env: str) -> aiohttp.ClientSession:
    """Return a session that calls the host of this URL alone. The operator chose it, so it may be at a private address."""
    policy = policy_for(url, env)
    return guarded_session(policy)


def policy_for(url: str, env: str) -> AddressPolicy:
    """Return the policy that lets a URL of the operator's be called, and no other host.

    Where clouds keep the keys of a machine is refused all the same. Raises ConfigurationError, which names the variable.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        policy = AddressPolicy(
            schemes=frozenset(_PORTS), ports=frozenset({port}), hosts=(host,), allow_private=_ANYWHERE
        )
        policy.check(url)
    except (ValueError, InvalidRequest) as error:
        reason = error.message if isinstance(error, InvalidRequest) else "it cannot be read."
        raise ConfigurationError(f"{env}: {reason}") from None
    return policy
