"""The outbox of alerts. A row is due from the statement that raises its alert, so neither is there without the other.

How what is due is sent is in `services/sending.py`.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from services.alerts.types import DueAlert, News
from services.runs.webhook_post import Posted
from services.sending import SendingPolicy, outlook

logger = logging.getLogger(__name__)


class AlertChannel(Protocol):
    """Somewhere alerts go. What fires is told again every `repeat_s` for as long as it does, whatever the channel answers;
    with None it is told once, and given up in the end.
    """

    @property
    def repeat_s(self) -> float | None: ...

    async def tell(self, due: DueAlert) -> Posted:
        """Make one attempt. It has no time limit of its own, and raises nothing but for a bug."""
        ...


class AlertOutbox(Protocol):
    """Where alerts wait to be told. Every method is one statement and raises StoreUnavailable."""

    async def take(self, *, channels: Sequence[str], limit: int, claim_s: float) -> Sequence[DueAlert]:
        """Begin an attempt at what is due to these channels; it is due again after `claim_s` unless that is settled by then."""
        ...

    async def delivered(self, due: DueAlert, *, repeat_s: float | None) -> None:
        """Record that the channel knows. What still fires is due again in `repeat_s`."""
        ...

    async def failed(self, due: DueAlert, problem: str, *, retry_in_s: float | None) -> None:
        """Record why the attempt failed; the next is due in so many seconds, or there is none with None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPolicy(SendingPolicy):
    """As it stands 80 minutes on average from the first attempt to the last. A channel has `per_channel` of the attempts at
    most, so that one that lets us wait does not hold up the other.
    """

    section: ClassVar[str] = "alerts"

    attempts: int = 12
    retry_base_s: float = 5.0
    retry_max_s: float = 1_800.0
    timeout_s: float = 10.0
    concurrency: int = 8
    poll_s: float = 2.0
    per_channel: int = 4


class AlertDeliveries:
    """Implements `services.sending.Deliveries`: each goes to its channel, by name. `reported` hears of each attempt: channel,
    and `delivered`, `retried` or `given_up`.
    """

    what = "alerts"

    def __init__(
        self,
        outbox: AlertOutbox,
        channels: Mapping[str, AlertChannel],
        *,
        reported: Callable[[str, str], None] = lambda _channel, _outcome: None,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._reported = reported

    async def take(self, *, limit: int, claim_s: float, without: Collection[str]) -> Sequence[DueAlert]:
        channels = tuple(name for name in self._channels if name not in without)
        return await self._outbox.take(channels=channels, limit=limit, claim_s=claim_s)

    def lane(self, due: DueAlert) -> str:
        return due.channel

    def name(self, due: DueAlert) -> str:
        return f"alert {due.alert.id} ({due.alert.kind}, {due.news}) to {due.channel}"

    def repeat_s(self, due: DueAlert) -> float | None:
        lasts = due.news is News.FIRING and due.ends_at is None
        return self._channels[due.channel].repeat_s if lasts else None

    async def attempt(self, due: DueAlert) -> Posted:
        return await self._channels[due.channel].tell(due)

    async def delivered(self, due: DueAlert) -> None:
        self._reported(due.channel, "delivered")
        await self._outbox.delivered(due, repeat_s=self.repeat_s(due))

    async def failed(self, due: DueAlert, problem: str, *, retry_in_s: float | None) -> None:
        self._reported(due.channel, "given_up" if retry_in_s is None else "retried")
        logger.warning("%s: %s", self.name(due), outlook(due.attempt, problem, retry_in_s))
        await self._outbox.failed(due, problem, retry_in_s=retry_in_s)
